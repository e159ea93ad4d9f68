#!/bin/sh
# Makes a checkout ready: finds or fetches uv and Python, creates .venv from requirements.lock, and checks that
# frames can be drawn. Safe to run again, and after an interruption; when nothing has changed it returns at once.
#
# POSIX sh rather than Python: it runs where Python may be missing, too old, or without its venv module, and can
# say so.
set -eu
cd "$(dirname "$0")/.."

PYTHON_VERSIONS='>=3.12,<3.14' # as requires-python in pyproject.toml
STAMP=.venv/.setup-stamp

say() { printf 'setup: %s\n' "$*"; }

stop() {
    printf 'setup: %s\n' "$@" >&2
    exit 2
}

# --- system packages ---------------------------------------------------------------------------------------------

is_root() { [ "$(id -u)" = 0 ]; }

can_use_apt() {
    command -v apt-get >/dev/null 2>&1 && { is_root || sudo -n true >/dev/null 2>&1; }
}

apt_install() {
    say "installing system packages with apt-get: $*"
    if is_root; then root=; else root='sudo -n'; fi
    # $root is zero or two words.
    # shellcheck disable=SC2086
    $root apt-get -qq update &&
        $root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >/dev/null
}

# --- uv ----------------------------------------------------------------------------------------------------------

# `uv venv --clear` and `--no-python-downloads` behave as used here since 0.8.
is_usable_uv() {
    version=$("$1" --version 2>/dev/null) || return 1
    printf '%s\n' "$version" | awk '{ split($2, v, "."); exit !(v[1] > 0 || v[2] >= 8) }'
}

has_venv_module() { python3 -c 'import ensurepip, venv' >/dev/null 2>&1; }

find_uv() {
    for uv in uv .bootstrap/bin/uv; do
        if is_usable_uv "$uv"; then return; fi
    done
    if ! has_venv_module && can_use_apt; then
        apt_install python3 python3-venv || true
    fi
    has_venv_module || stop \
        "neither uv (0.8 or newer) nor a python3 with its venv module was found." \
        "Install one of them and run this again; on Debian and Ubuntu: apt-get install python3-venv"
    say "installing uv into .bootstrap"
    rm -rf .bootstrap
    python3 -m venv .bootstrap
    # The lock names uv too (tox-uv needs it): one place for its version and hashes.
    awk '/^[^ #]/ { wanted = /^uv==/ } wanted' requirements.lock >.bootstrap/uv.lock
    .bootstrap/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .bootstrap/uv.lock ||
        stop "uv could not be installed into .bootstrap: see pip's message above."
    uv=.bootstrap/bin/uv
    is_usable_uv "$uv" || stop "uv was installed into .bootstrap but does not run on this machine."
}

# --- .venv -------------------------------------------------------------------------------------------------------

# What .venv was made from. Contents, not times, so that a fresh clone or a switched branch is judged rightly; the
# folder too, because an editable install of a moved checkout points to the old place.
fingerprint() {
    { pwd && cat pyproject.toml requirements.lock scripts/setup.sh scripts/check_gl.py; } | cksum
}

is_ready() {
    [ -f "$STAMP" ] && [ "$(cat "$STAMP")" = "$(fingerprint)" ] && .venv/bin/python -c '' >/dev/null 2>&1
}

create_venv() {
    # A .venv without a stamp is half-made or somebody else's; an interrupted install can leave packages that look
    # complete, so it is made anew rather than mended. With uv's cache that takes seconds.
    if [ -f "$STAMP" ] && .venv/bin/python -c '' >/dev/null 2>&1; then return; fi
    if [ -d .venv ]; then say "making .venv anew (it is unfinished, or not made by this script)"; fi
    "$uv" venv --quiet --clear --python "$PYTHON_VERSIONS" .venv ||
        stop "no Python $PYTHON_VERSIONS was found, and uv could not fetch one: see its message above."
}

install_packages() {
    say "installing the locked packages into .venv (gigabytes to download, the first time)"
    if [ -t 2 ]; then quiet=; else quiet=--quiet; fi
    rm -f "$STAMP" # from here to the end .venv is unfinished
    # shellcheck disable=SC2086
    "$uv" pip sync $quiet --python .venv/bin/python --require-hashes requirements.lock ||
        stop "the packages could not be installed: see uv's message above."
    # Without isolation, so that the build, too, uses a locked setuptools.
    "$uv" pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable . ||
        stop "the project itself could not be installed: see uv's message above."
}

# --- GL ----------------------------------------------------------------------------------------------------------

GL_PACKAGES='libegl1 libopengl0 libgl1-mesa-dri'

draw_frame() { gl=$(.venv/bin/python scripts/check_gl.py 2>&1); }

check_gl() {
    if draw_frame; then
        say "frames are drawn with $gl"
        return
    fi
    case "$(uname -s) ${MUJOCO_GL:-egl}" in
    'Linux egl')
        # $GL_PACKAGES is a list.
        # shellcheck disable=SC2086
        if can_use_apt && apt_install $GL_PACKAGES && draw_frame; then
            say "frames are drawn with $gl"
            return
        fi
        stop "MuJoCo cannot draw a frame without a display. It said:" "  $gl" \
            "On Debian and Ubuntu run, as root:" \
            "  apt-get update && apt-get install --no-install-recommends $GL_PACKAGES" \
            "Elsewhere install what holds libEGL.so.1, libOpenGL.so.0 and Mesa's (or the GPU's) driver; then run this again."
        ;;
    Linux*)
        stop "MuJoCo cannot draw a frame with MUJOCO_GL=$MUJOCO_GL. It said:" "  $gl" \
            "Unset MUJOCO_GL, and EGL is used; then run this again."
        ;;
    *)
        stop "MuJoCo cannot draw a frame. It said:" "  $gl"
        ;;
    esac
}

# -----------------------------------------------------------------------------------------------------------------

if is_ready; then
    say "ready"
    exit 0
fi
find_uv
create_venv
install_packages
check_gl
fingerprint >"$STAMP.new"
mv "$STAMP.new" "$STAMP"
say "ready: $(.venv/bin/python --version) in .venv"
