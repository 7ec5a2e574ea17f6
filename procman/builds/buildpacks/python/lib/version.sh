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

# find_python WANTED ORIGIN: the wished version, else the one of the last build, else python3.
find_python() {
  local wanted=$1 origin=$2 minor found
  minor=$(cut -d. -f1,2 <<<"$wanted")
  if [[ -z $wanted && -f "$cache_dir/python-version" ]]; then
    found=$(real_python "$(cat "$cache_dir/python-version")" '')
  else
    found=$(real_python "$minor" "$wanted")
  fi
  if [[ -z $found && -z $wanted ]]; then
    found=$(real_python '' '')
    [[ -n $found ]] || fail "There is no Python on this host that the build can run." \
      "On the server: apt-get install python3 python3-venv python3-pip"
  elif [[ -z $found ]]; then
    fail "Python $wanted, which $origin asks for, is not on this host." "There is: $(installed_pythons)." \
      "On the server: apt-get install python$minor python$minor-venv" "Or ask for one that is there in $origin."
  fi
  python=${found#* } python_version=${found%% *}
  if [[ -z $wanted ]]; then
    step "Using Python $python_version of this host: no version is asked for"
    detail "To stay with it: echo ${python_version%.*} > .python-version"
  else
    step "Using Python $wanted specified in $origin"
    if [[ $wanted == *.*.* && $wanted != "$python_version" ]]; then
      detail "This host has $python_version: patch releases are the host's."
    fi
  fi
  echo "${python_version%.*}" >"$cache_dir/python-version"
}

# real_python MINOR VERSION: a program of that minor version that runs, best of that very version; behind the links of
# version managers. Prints its version and its path, nothing if there is none.
real_python() {
  local folder candidate found spare=''
  local -a folders=() candidates=()
  IFS=: read -ra folders <<<"$PATH"
  for folder in "${folders[@]}"; do
    candidates+=("$folder/python$1" "$folder/python3")
    if [[ $folder == */shims && -n $1 ]]; then
      candidates+=("${folder%/shims}/versions/$1".*/bin/python3)
    fi
  done
  for candidate in "${candidates[@]}"; do
    if [[ ! -x $candidate || -d $candidate ]]; then
      continue
    fi
    found=$("$candidate" -I -c 'import os, platform, sys, venv
print(platform.python_version(), os.path.realpath(sys._base_executable))' 2>/dev/null) || continue
    if [[ $found != 3.* || (-n $1 && $found != "$1."*) ]]; then
      continue
    fi
    if [[ $2 != *.*.* || $found == "$2 "* ]]; then
      echo "$found"
      return
    fi
    spare=${spare:-$found}
  done
  echo "$spare"
}

installed_pythons() {
  local minor
  local -a found=()
  for minor in 3.{8..19}; do
    if [[ -n "$(real_python "$minor" '')" ]]; then
      found+=("$minor")
    fi
  done
  echo "${found[*]:-none}"
}
