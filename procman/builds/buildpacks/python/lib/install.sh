# shellcheck shell=bash
# The virtual environment: from the cache if nothing it was made from has changed, else installed anew from cached
# downloads. Sourced by bin/compile.

declare -A lock_files=([pipenv]=Pipfile.lock [pip]=requirements.txt [poetry]=poetry.lock [uv]=uv.lock)

restore_or_install() {
  local manager=$1 facts
  own_folder .heroku
  rm -rf "$venv"
  lock=${lock_files[$manager]}
  facts=$("$python" -I "$pack/lib/requirements.py" "$lock")
  environment_key=$(key_of 1 "$manager" "$python" "$python_version" "$(uname -m)" <<<"$facts")
  if [[ ${facts%%$'\n'*} == local ]]; then
    environment_key='' # what it is made from is more than can be compared
  fi
  if [[ -n $environment_key ]] && cached python "$environment_key" && restored; then
    step "Using the packages of the last build: $lock has not changed"
    environment_key=''
    return 0
  fi
  "$python" -I -m venv --without-pip "$venv" 2>&1 | indent || fail "The virtual environment cannot be made." \
    "On the server: apt-get install python3-venv"
  export VIRTUAL_ENV=$venv UV_PYTHON_DOWNLOADS=never UV_NATIVE_TLS=1 UV_SYSTEM_CERTS=1
  if [[ $manager == pip* ]]; then # the others remove what their lock file does not name
    add_pip 2>/dev/null
  fi
  if [[ $manager != pip ]]; then
    tool "$manager"
  fi
  ( export_config_vars; "install_with_$manager" ) || fail "Unable to install dependencies using $manager." \
    "See the log output above: $lock decided what to install."
}

# Copy the cached environment; scripts that name the place where it was made are led to this one.
restored() {
  local place
  place=$(cat "$cache_dir/python/place")
  if ! cp -a --reflink=auto "$cache_dir/python/tree" "$venv"; then
    rm -rf "$venv" "$cache_dir/python"
    return 1
  fi
  PLACE=$place HERE=$build_dir "$venv/bin/python" -I - "$venv" <<'PYTHON' 2>/dev/null && return 0
import os, sys
place, here = (os.fsencode(os.environ[name] + "/.heroku/python") for name in ("PLACE", "HERE"))
programs = [entry.path for entry in os.scandir(sys.argv[1] + "/bin") if entry.is_file(follow_symlinks=False)]
for path in (sys.argv[1] + "/pyvenv.cfg", *programs) if place != here else ():
    with open(path, "r+b") as file:
        data = file.read()
        if place in data and b"\0" not in data:
            file.seek(0)
            file.truncate()
            file.write(data.replace(place, here))
PYTHON
  rm -rf "$venv" "$cache_dir/python"
  return 1
}

# After everything went well: what was installed is what the next build begins with.
keep_installed() {
  if [[ -n ${environment_key:-} ]]; then
    keep python "$environment_key" "$venv"
  fi
}

# uv takes no settings of pip's: an index that the host or the app has for pip is meant for uv, too.
uv_indexes() {
  if [[ -n ${PIP_INDEX_URL:-} ]]; then
    export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}
  fi
  if [[ -n ${PIP_EXTRA_INDEX_URL:-} ]]; then
    export UV_INDEX=${UV_INDEX:-$PIP_EXTRA_INDEX_URL}
  fi
}

install_with_pip() {
  if ! grep -qE '^[[:space:]]*[^#[:space:]]' "$lock"; then
    detail "$lock names no packages"
  elif command -v uv >/dev/null; then
    step "Installing dependencies using 'uv pip install -r $lock'"
    uv_indexes
    uv pip install --python "$venv/bin/python" --compile-bytecode -r "$lock" 2>&1 | indent
  else
    step "Installing dependencies using 'pip install -r $lock'"
    run_pip install --progress-bar off -r "$lock" 2>&1 | sed -u '/^Requirement already satisfied/d' | indent
  fi
}

# pip for the dynos (heroku run pip list) and for hooks: the wheel that comes with Python, unpacked.
add_pip() {
  "$python" -I - "$venv" <<'PYTHON' || detail "pip is not in the app's environment: apt-get install python3-venv"
import ensurepip, glob, os, sys, zipfile
[site] = glob.glob(sys.argv[1] + "/lib/python3*/site-packages")
folders = (os.path.join(os.path.dirname(ensurepip.__file__), "_bundled"), "/usr/share/python-wheels")
wheels = [path for folder in folders for path in sorted(glob.glob(os.path.join(folder, "pip-*.whl")))[-1:]]
zipfile.ZipFile(wheels[0]).extractall(site)
for name in ("pip", "pip3"):
    path = f"{sys.argv[1]}/bin/{name}"
    with open(path, "w") as file:
        file.write(f"#!{sys.argv[1]}/bin/python\nimport sys\nfrom pip._internal.cli.main import main\nsys.exit(main())\n")
    os.chmod(path, 0o755)
PYTHON
}

# The host's pip, working on another environment: ten times as fast as giving every app its own first.
run_pip() { run_pip_in "$venv" "$@"; }

# run_pip_in ENVIRONMENT WORDS…
run_pip_in() {
  local place=$1
  shift
  export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_PYTHON_VERSION_WARNING=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_INPUT=1
  export PIP_USE_PEP517=1 PIP_REQUIRE_VIRTUALENV=0
  local version
  version=$("$python" -I -c 'import pip; print(pip.__version__)' 2>/dev/null | cut -d. -f1)
  if ((${version:-0} >= 23)); then # --python is in it
    "$python" -m pip --python "$place/bin/python" "$@"
  elif [[ $place == "$venv" ]] && "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    "$venv/bin/python" -m pip "$@"
  else
    fail "Neither uv nor pip is on this host for Python $python_version." "On the server: apt-get install python3-pip"
  fi
}

# tool NAME: sets tool to the host's program, else to one that is installed from the package index into the cache.
tool() {
  tool=$(type -P "$1" || :)
  if [[ -z $tool ]]; then
    local home=$cache_dir/tools/$1-$python_version
    tool=$home/bin/$1
    if [[ ! -x $tool ]]; then
      detail "$1 is not on this host: installing it with pip"
      rm -rf "$home"
      if ! { "$python" -I -m venv --without-pip "$home" && run_pip_in "$home" install --quiet "$1"; } 2>&1 | indent; then
        fail "$1 is missing on this host, and cannot be installed." "On the server: pipx install $1"
      fi
    fi
  fi
}

install_with_uv() {
  uv_indexes
  step "Installing dependencies using 'uv sync --locked --no-default-groups'"
  UV_PROJECT_ENVIRONMENT=$venv "$tool" sync --locked --no-default-groups --python "$venv/bin/python" \
    --compile-bytecode 2>&1 | indent
}

install_with_poetry() {
  local -a words=(sync)
  "$tool" sync --help >/dev/null 2>&1 || words=(install --sync)
  step "Installing dependencies using 'poetry ${words[*]} --only main'"
  POETRY_VIRTUALENVS_CREATE=true POETRY_CACHE_DIR=$cache_dir/poetry PATH=$venv/bin:$PATH \
    "$tool" "${words[@]}" --only main --compile --no-interaction --no-ansi 2>&1 | indent
}

install_with_pipenv() {
  step "Installing dependencies using 'pipenv install --deploy'"
  PIPENV_IGNORE_VIRTUALENVS=0 PIPENV_VERBOSITY=-1 PIPENV_NOSPIN=1 PIPENV_CACHE_DIR=$cache_dir/pipenv \
    PATH=$venv/bin:$PATH "$tool" install --deploy --extra-pip-args=--progress-bar=off 2>&1 | indent
}
