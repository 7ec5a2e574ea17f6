# shellcheck shell=bash
# The virtual environment: from the cache if nothing it was made from has changed, else installed anew from cached
# downloads. Sourced by bin/compile.

declare -A lock_files=([pipenv]=Pipfile.lock [pip]=requirements.txt [poetry]=poetry.lock [uv]=uv.lock)

restore_or_install() {
  local manager=$1 facts
  own_folder .heroku
  rm -rf "$venv"
  lock=${lock_files[$manager]}
  facts=$("$python" -I "$pack/lib/requirements.py" facts "$lock")
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
  if [[ $place != "$build_dir" ]]; then
    PLACE=$place HERE=$build_dir "$python" -I - "$venv" <<'PYTHON'
import os, pathlib, sys
place, here = (os.fsencode(os.environ[name] + "/.heroku/python") for name in ("PLACE", "HERE"))
root = pathlib.Path(sys.argv[1])
for path in (root / "pyvenv.cfg", *(root / "bin").iterdir()):
    if path.is_file() and not path.is_symlink():
        data = path.read_bytes()
        if place in data and b"\0" not in data:
            path.write_bytes(data.replace(place, here))
PYTHON
  fi
  "$venv/bin/python" -I -c '' 2>/dev/null && return 0
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
  if command -v uv >/dev/null; then
    step "Installing dependencies using 'uv pip install -r $lock'"
  else
    step "Installing dependencies using 'pip install -r $lock'"
  fi
  install_requirements "$lock"
}

install_requirements() {
  if command -v uv >/dev/null; then
    uv_indexes
    uv pip install --python "$venv/bin/python" --compile-bytecode -r "$1" 2>&1 | indent
  else
    run_pip install --progress-bar off -r "$1" 2>&1 | sed -u '/^Requirement already satisfied/d' | indent
  fi
}

# The host's pip, working on the app's environment: ten times as fast as giving every app its own.
run_pip() {
  local -a pip=("$python" -m pip)
  export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_PYTHON_VERSION_WARNING=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_INPUT=1
  export PIP_USE_PEP517=1 PIP_REQUIRE_VIRTUALENV=0
  if ! "${pip[@]}" --python "$venv/bin/python" --version >/dev/null 2>&1; then
    "$python" -m ensurepip --version >/dev/null 2>&1 ||
      fail "Neither uv nor pip is on this host for Python $python_version." "On the server: apt-get install python3-pip"
    "$venv/bin/python" -m ensurepip --default-pip >/dev/null
    pip=("$venv/bin/python" -m pip)
    "${pip[@]}" "$@"
  else
    "${pip[@]}" --python "$venv/bin/python" "$@"
  fi
}

# A program `pip` for the app's own scripts, since the environment has none.
pip_command() {
  if command -v uv >/dev/null; then
    printf '#!/bin/sh\nUV_PYTHON=%q exec uv pip "$@"\n' "$venv/bin/python"
  else
    printf '#!/bin/sh\nPIP_USE_PEP517=1 exec %q -m pip --python %q "$@"\n' "$python" "$venv/bin/python"
  fi
}

install_with_uv() {
  command -v uv >/dev/null || fail "uv is missing on this host, and uv.lock can be read by nothing else." \
    "On the server: pip install uv (or: pipx install uv), so that the server finds it in its PATH."
  uv_indexes
  step "Installing dependencies using 'uv sync --locked --no-default-groups'"
  UV_PROJECT_ENVIRONMENT=$venv uv sync --locked --no-default-groups --python "$venv/bin/python" --compile-bytecode 2>&1 | indent
}

install_with_poetry() {
  command -v poetry >/dev/null || fail "poetry is missing on this host, and poetry.lock can be read by nothing else." \
    "On the server: apt-get install python3-poetry (or: pipx install poetry)"
  step "Installing dependencies using 'poetry sync --only main'"
  local -a words=(sync)
  poetry sync --help >/dev/null 2>&1 || words=(install --sync)
  POETRY_VIRTUALENVS_CREATE=true POETRY_CACHE_DIR=$cache_dir/poetry PATH=$venv/bin:$PATH \
    poetry "${words[@]}" --only main --compile --no-interaction --no-ansi 2>&1 | indent
}

install_with_pipenv() {
  local list
  if command -v pipenv >/dev/null; then
    step "Installing dependencies using 'pipenv install --deploy'"
    PIPENV_VENV_IN_PROJECT=0 PIPENV_IGNORE_VIRTUALENVS=0 PIPENV_VERBOSITY=-1 PIPENV_NOSPIN=1 PIPENV_CACHE_DIR=$cache_dir/pipenv \
      PATH=$venv/bin:$PATH pipenv install --deploy 2>&1 | indent
    return
  fi
  step "Installing dependencies of Pipfile.lock"
  list=$(mktemp)
  "$python" -I "$pack/lib/requirements.py" pipfile "$lock" >"$list" || fail "pipenv is missing on this host." \
    "A package in Pipfile.lock has no version, which only pipenv can install. On the server: apt-get install pipenv"
  install_requirements "$list"
  rm -f "$list"
}
