# The virtualenv: from the cache when nothing has changed, else made anew and kept.

# One line that changes whenever the packages would.
key() {
  {
    echo "layout 1 $PYTHON $VERSION $MANAGER"
    env | grep -E '^(PIP|UV)_' | grep -v CACHE | sort
    cat "$LOCK" pyproject.toml Pipfile 2>/dev/null || true
    cat *requirements*.txt requirements/*.txt constraints*.txt 2>/dev/null || true
  } | sha256sum | cut -d' ' -f1
}

# Whether the packages depend on nothing but what the key has seen.
cacheable() {
  ! grep -qsE '^[[:space:]]*(-e|--editable|\.|file:)|git\+|^source = \{ (editable|directory|path)|^-r +[^ ]*/' \
    "$LOCK" requirements/*.txt
}

restore() {
  [ -d "$CACHE/venv" ] || return 1
  step "Restoring cache"
  if ! cacheable; then
    detail "$LOCK names local folders or repositories: they are installed anew"
    return 1
  fi
  if [ "$(cat "$CACHE/key" 2>/dev/null)" != "$(key)" ]; then
    detail "$LOCK, the Python version or the host's settings have changed: cache discarded"
    return 1
  fi
  mkdir -p "${VENV%/*}"
  cp -a --reflink=auto "$CACHE/venv" "$VENV"
  relocate "$(cat "$CACHE/prefix")" "$VENV"
  if ! "$VENV/bin/python" -c '' 2>/dev/null; then
    rm -rf "$VENV"
    return 1
  fi
  detail "$LOCK has not changed: its packages are taken from the cache"
}

# Scripts name their interpreter by its path.
relocate() {
  [ "$1" != "$2" ] || return 0
  grep -rlIF --include='*' "$1" "$VENV/bin" "$VENV/pyvenv.cfg" 2>/dev/null | while IFS= read -r file; do
    sed -i "s|$1|$2|g" "$file"
  done
}

keep() {
  rm -rf "$CACHE.new"
  mkdir -p "$CACHE.new"
  echo "$VERSION" >"$CACHE.new/version"
  if cacheable; then
    key >"$CACHE.new/key"
    echo "$VENV" >"$CACHE.new/prefix"
    cp -a --reflink=auto "$VENV" "$CACHE.new/venv"
  fi
  rm -rf "$CACHE"
  mv "$CACHE.new" "$CACHE"
}

make_environment() {
  mkdir -p "${VENV%/*}"
  rm -rf "$VENV"
  "$PYTHON" -m venv --without-pip "$VENV" 2>&1 | indent || fail "Error: $PYTHON cannot make a virtualenv." \
    "Install what it needs: apt-get install python${VERSION%.*}-venv"
  [ -e "$VENV/bin/python" ] || ln -s python3 "$VENV/bin/python"
}

# The wheel of pip that comes with Python, so that `heroku run pip list` works.
bundled_pip() {
  grep -qsE '^pip([^a-z0-9-]|$)' requirements.txt && return
  "$PYTHON" -c 'import ensurepip, glob, os
where = getattr(ensurepip, "_WHEEL_PKG_DIR", None) or os.path.join(os.path.dirname(ensurepip.__file__), "_bundled")
print(*sorted(glob.glob(os.path.join(where, "pip-*.whl")))[-1:])' 2>/dev/null || true
}

install_with_pip() {
  local wheel
  if command -v uv >/dev/null; then
    step "Installing dependencies using 'uv pip install -r requirements.txt'"
    VIRTUAL_ENV=$VENV uv pip install --compile-bytecode -r requirements.txt 2>&1 | indent
    return
  fi
  step "Installing dependencies using 'pip install -r requirements.txt'"
  if "$PYTHON" -m pip --version >/dev/null 2>&1; then
    wheel=$(bundled_pip)
    "$PYTHON" -m pip --python "$VENV/bin/python" install --progress-bar off ${wheel:+"$wheel"} -r requirements.txt 2>&1 |
      grep --line-buffered -vE '_bundled/pip-|^Requirement already' | indent
  elif "$VENV/bin/python" -m ensurepip >/dev/null 2>&1; then
    "$VENV/bin/python" -m pip install --progress-bar off -r requirements.txt 2>&1 | indent
  else
    fail "Error: This host's Python has no pip." "Install it: apt-get install python3-pip python3-venv   (or: uv)"
  fi
}

# A package manager that the host lacks comes from the package index, into the cache.
tool() {
  command -v "$1" && return
  local home=$CACHE_DIR/tools/$1-$VERSION
  if [ ! -x "$home/bin/$1" ]; then
    detail "$1 is not on this host: installing it with pip" >&2
    rm -rf "$home"
    { "$PYTHON" -m venv --without-pip "$home" && "$PYTHON" -m pip --python "$home/bin/python" install -q "$1"; } >&2 || {
      warn "$1 cannot be installed: pipx install $1" >&2
      return 1
    }
  fi
  echo "$home/bin/$1"
}

install_with_uv() {
  local uv
  uv=$(tool uv)
  step "Installing dependencies using 'uv sync --locked --no-default-groups'"
  UV_PROJECT_ENVIRONMENT=$VENV "$uv" sync --locked --no-default-groups --no-editable --compile-bytecode \
    --python "$VENV/bin/python" 2>&1 | indent
}

install_with_poetry() {
  local poetry
  poetry=$(tool poetry)
  step "Installing dependencies using 'poetry sync --only main'"
  VIRTUAL_ENV=$VENV PATH=$VENV/bin:$PATH "$poetry" install --only main --no-root --no-interaction --no-ansi 2>&1 | indent
}

install_with_pipenv() {
  local pipenv
  pipenv=$(tool pipenv)
  step "Installing dependencies using 'pipenv install --deploy'"
  VIRTUAL_ENV=$VENV PATH=$VENV/bin:$PATH PIPENV_VERBOSITY=-1 PIPENV_NOSPIN=1 \
    "$pipenv" install --deploy --ignore-pipfile --extra-pip-args="--progress-bar=off" 2>&1 | indent
}
