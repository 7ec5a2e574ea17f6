# shellcheck shell=bash
# Which Python: runtime.txt, then .python-version, then Pipfile.lock, then this host's python3. Sourced by bin/compile.

# choose_python MANAGER: sets python (a program), python_version (3.12.4).
choose_python() {
  local wanted='' origin='' name
  for name in .python_version python-version .pythonversion python_version .python-version.txt runtime.text Runtime.txt; do
    if [[ -e $name ]]; then
      fail "'$name' is not a file that says the Python version." "Rename it: git mv $name .python-version"
    fi
  done
  if [[ -f runtime.txt ]]; then
    origin=runtime.txt
    if [[ $1 == uv ]]; then
      fail "The runtime.txt file isn't supported when using uv." "Use .python-version: it is uv's own. git rm runtime.txt"
    fi
    wanted=$(grep -v '^[[:space:]]*$' runtime.txt | head -n 1 | tr -d '[:space:]' || :)
    [[ $wanted == python-* ]] || fail "Invalid Python version in runtime.txt." "It holds '${wanted:0:60}', not python-3.12."
    wanted=${wanted#python-}
  elif [[ -f .python-version ]]; then
    origin=.python-version
    wanted=$(from_version_file)
  elif [[ $1 == pipenv ]]; then
    wanted=$(sed -n 's/^ *"python_\(full_\)\?version": *"\([0-9.]*\)".*/\2/p' Pipfile.lock | tail -n 1)
    origin=${wanted:+Pipfile.lock}
  fi
  if [[ -n $origin && ! $wanted =~ ^3\.[0-9]{1,2}(\.[0-9]{1,2})?$ ]]; then
    fail "Invalid Python version in $origin." "It holds '${wanted:0:60}'. Write the version alone, as 3.12 or 3.12.4."
  fi
  find_python "$wanted" "$origin"
}

from_version_file() {
  local -a lines=()
  mapfile -t lines < <(sed 's/#.*//; s/^[[:space:]]*//; s/[[:space:]]*$//' .python-version | grep -v '^$' || :)
  case ${#lines[@]} in
    0) fail "No Python version was found in the .python-version file." "Write it there: echo 3.12 > .python-version" >&2 ;;
    1) echo "${lines[0]#python-}" ;;
    *) fail "Several Python versions are in the .python-version file." "Keep one of: ${lines[*]}" >&2 ;;
  esac
}

find_python() {
  local wanted=$1 origin=$2 program=python3 found
  if [[ -n $wanted ]]; then
    program=python$(cut -d. -f1,2 <<<"$wanted")
  fi
  python=$(real_python "$program")
  if [[ -z $python && -z $wanted ]]; then
    fail "python3 is missing on this host." "On the server: apt-get install python3 python3-venv python3-pip"
  elif [[ -z $python ]]; then
    found=$(installed_pythons)
    fail "Python $wanted, which $origin asks for, is not on this host." "Installed: ${found:-none}." \
      "On the server: apt-get install $program $program-venv (or: uv python install ${program#python}, and a link in /usr/local/bin)." \
      "Or change $origin to a version that is there."
  fi
  python_version=$("$python" -c 'import platform; print(platform.python_version())')
  if [[ -z $wanted ]]; then
    step "Using Python $python_version of this host: no version is asked for"
    detail "To fix it: echo ${python_version%.*} > .python-version"
  else
    step "Using Python $wanted specified in $origin"
    if [[ $wanted == *.*.* && $wanted != "$python_version" ]]; then
      detail "This host has $python_version: patch releases are the host's."
    fi
  fi
}

# The program itself behind links of version managers, if it runs and can make virtual environments; else nothing.
real_python() {
  local found
  while read -r found; do
    "$found" -c 'import os, sys, venv; print(os.path.realpath(sys._base_executable))' 2>/dev/null && return 0
  done < <(type -aP "$1")
  return 0
}

installed_pythons() {
  local minor
  local -a found=()
  for minor in {7..19}; do
    if [[ -n "$(real_python "python3.$minor")" ]]; then
      found+=("3.$minor")
    fi
  done
  echo "${found[*]}"
}
