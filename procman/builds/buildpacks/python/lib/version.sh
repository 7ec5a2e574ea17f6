# Which package manager and which of this host's Pythons.
MANAGER='' LOCK='' PYTHON='' VERSION=''

# Exactly one of four files, as on Heroku since 2025.
choose_manager() {
  local found=()
  for LOCK in requirements.txt uv.lock poetry.lock Pipfile.lock; do
    [ -f "$LOCK" ] && found+=("$LOCK")
  done
  if [ ${#found[@]} -gt 1 ]; then
    fail "Error: Multiple Python package manager files were found:" "${found[@]/#/  }" "" \
      "Exactly one of them has to say which packages the app needs." \
      "Remove those you do not use, for example: git rm --cached ${found[-1]} && git commit -m 'One package manager'"
  fi
  if [ ${#found[@]} -eq 0 ]; then no_manager; fi
  LOCK=${found[0]}
  case $LOCK in
  requirements.txt) MANAGER=pip ;;
  uv.lock) MANAGER=uv ;;
  poetry.lock) MANAGER=poetry ;;
  Pipfile.lock) MANAGER=pipenv ;;
  esac
}

no_manager() {
  if [ -f Pipfile ]; then
    fail "Error: There is a Pipfile without a Pipfile.lock." "Run: pipenv lock && git add Pipfile.lock && git commit"
  fi
  if [ -f pyproject.toml ]; then
    fail "Error: There is a pyproject.toml without uv.lock or poetry.lock." \
      "Run: uv lock && git add uv.lock && git commit    (or: poetry lock)"
  fi
  if [ -f setup.py ]; then
    fail "Error: setup.py alone does not say which packages the app needs." \
      "Add a requirements.txt whose only line is a dot: echo . > requirements.txt"
  fi
  local wrong
  for wrong in [Rr]equirement*.* [Rr]equirments.txt; do
    warn "There is $wrong: the name has to be requirements.txt."
  done
  fail "Error: Couldn't find any supported Python package manager files." \
    "A Python app has exactly one of requirements.txt, uv.lock, poetry.lock and Pipfile.lock in its top folder." \
    "There is:" "$(ls -A | head -20 | sed '2,$s/^/ !       /; 1s/^/  /')"
}

choose_python() {
  local wanted='' origin='' name
  for name in .python_version python-version .python-version.txt python.version; do
    if [ -f "$name" ]; then fail "Error: $name is not read: the name has to be .python-version."; fi
  done
  if [ -f runtime.txt ]; then
    origin=runtime.txt wanted=$(tr -d ' \t\r\n' <runtime.txt)
    warn "runtime.txt is out of date: put the version into .python-version instead."
  elif [ -f .python-version ]; then
    origin=.python-version wanted=$(sed 's/#.*//; s/[[:space:]]//g' .python-version | grep -m1 . || true)
  elif [ "$LOCK" = Pipfile.lock ]; then
    wanted=$(sed -nE 's/.*"python(_full)?_version": "([0-9.]+)".*/\2/p' Pipfile.lock | tail -1) origin=Pipfile.lock
  fi
  wanted=${wanted#python-}
  if [ -z "$wanted" ]; then origin=''; fi
  if [ -n "$wanted" ] && ! [[ $wanted =~ ^3\.[0-9]+(\.[0-9]+)?$ ]]; then
    fail "Error: $origin asks for '$wanted', which is no version such as 3.12 or 3.12.4."
  fi
  find_python "$wanted" || no_python "$wanted" "$origin"
  if [ -z "$origin" ]; then
    step "Using Python $VERSION: this host's, since no .python-version names one"
  else
    step "Using Python $VERSION specified in $origin"
  fi
  if [[ $wanted == *.*.* && $wanted != "$VERSION" ]]; then
    warn "$origin asks for $wanted; this host has $VERSION, which is used."
  fi
}

# Sets PYTHON and VERSION to the first that runs; one with the wished patch level wins.
find_python() {
  local minor candidate found number folder names=() spare=''
  minor=$(echo "$1" | cut -d. -f1,2)
  if [ -z "$1" ] && [ -f "$CACHE/version" ]; then
    minor=$(cut -d. -f1,2 "$CACHE/version")
    find_python "$minor" && return
    minor=''
  fi
  IFS=: read -ra folders <<<"$PATH"
  for folder in "${folders[@]}" /usr/local/bin /usr/bin; do
    names+=("$folder/python$minor" "$folder/python3")
    case $folder in */shims) names+=("${folder%/shims}/versions/$minor"*/bin/python3) ;; esac
  done
  names+=("$HOME"/.pyenv/versions/"$minor"*/bin/python3 /opt/python"$minor"*/bin/python3)
  for candidate in "${names[@]}"; do
    [ -x "$candidate" ] || continue
    found=$("$candidate" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3], sys._base_executable)' 2>/dev/null) || continue
    number=${found%% *}
    if [ -n "$minor" ] && [ "${number%.*}" != "$minor" ]; then continue; fi
    [[ $number == 3.* ]] || continue
    if [ "$1" = "$number" ] || [[ $1 != *.*.* ]]; then
      VERSION=$number PYTHON=${found#* }
      return
    fi
    spare=${spare:-$found}
  done
  [ -n "$spare" ] || return 1
  VERSION=${spare%% *} PYTHON=${spare#* }
}

no_python() {
  local minor
  minor=$(echo "$1" | cut -d. -f1,2)
  if [ -z "$1" ]; then
    fail "Error: There is no Python on this host that the build can run." \
      "Install one: apt-get install python3 python3-venv python3-pip"
  fi
  fail "Error: $2 asks for Python $1, which is not on this host." \
    "Install it: apt-get install python$minor python$minor-venv" \
    "or ask for one that is here: echo $("${PYTHON:-python3}" -c 'import sys; print("%d.%d" % sys.version_info[:2])') > .python-version"
}
