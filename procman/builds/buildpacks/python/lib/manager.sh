# shellcheck shell=bash
# Which package manager: exactly one file decides, as on Heroku. Sourced by bin/compile.

declare -A manager_names=(
  [Pipfile.lock]=pipenv [requirements.txt]=pip [poetry.lock]=poetry [uv.lock]=uv
)

# Print the manager's name, or end the build.
choose_manager() {
  local name
  local -a found=()
  for name in Pipfile.lock requirements.txt poetry.lock uv.lock; do
    if [[ -L $name ]]; then
      fail "$name is a symbolic link." "Commit the file itself." >&2
    elif [[ -f $name ]]; then
      found+=("$name")
    fi
  done
  case ${#found[@]} in
    1) echo "${manager_names[${found[0]}]}" ;;
    0) no_manager >&2 ;;
    *) several_managers "${found[@]}" >&2 ;;
  esac
}

several_managers() {
  local -a lines=()
  local name
  for name in "$@"; do
    lines+=("$name (${manager_names[$name]})")
  done
  fail "Multiple Python package manager files were found." \
    "Exactly one of them may be there, since nobody can tell which one is meant:" "" "${lines[@]}" "" \
    "Keep the one you use and remove the others: git rm ${*:2}"
}

no_manager() {
  if [[ -f Pipfile ]]; then
    fail "No 'Pipfile.lock' was found, only a 'Pipfile'." \
      "Make the lock file and commit it: pipenv lock && git add Pipfile.lock"
  fi
  if [[ -f pyproject.toml ]]; then
    fail "Only a 'pyproject.toml' was found, and no lock file that says what to install." \
      "With uv: uv lock && git add uv.lock      With Poetry: poetry lock && git add poetry.lock" \
      "With pip, to install the app itself: echo '--editable .' > requirements.txt && git add requirements.txt"
  fi
  if [[ -f setup.py ]]; then
    fail "Only a 'setup.py' was found, which does not say how the app is to be installed." \
      "To install the app itself with pip, in editable mode: echo '--editable .' > requirements.txt && git add requirements.txt"
  fi
  local -a here=()
  mapfile -t here < <(ls -1Ap | head -n 30)
  fail "Couldn't find any supported Python package manager files." \
    "A Python app has one of 'requirements.txt', 'uv.lock', 'poetry.lock' and 'Pipfile.lock' in its top folder." \
    "That folder contains:" "" "${here[@]}" "" \
    "Check that the file is in the top folder, is spelt so, is committed (git add), and is not in .gitignore or" \
    ".slugignore. An app without dependencies has an empty one: touch requirements.txt"
}
