#!/bin/sh
# Brings Chromium and its driver, in which the tests look at pages, where apt-get can install them. Elsewhere the tests
# leave those pages out, and with --check this says so at the end of the run.
set -eu

if command -v chromedriver >/dev/null 2>&1 && { command -v chromium || command -v google-chrome; } >/dev/null 2>&1; then
    exit 0
fi
if [ "${1:-}" = --check ]; then
    printf 'test: NOT covered: how pages look in a browser. Install Chromium and its driver (Debian: chromium chromium-driver).\n' >&2
    exit 0
fi
root=''
if [ "$(id -u)" != 0 ]; then root='sudo -n'; fi
if command -v apt-get >/dev/null 2>&1 && $root true >/dev/null 2>&1; then
    printf 'test: installing chromium and chromium-driver with apt-get\n'
    $root apt-get -qq update && $root env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq install -y --no-install-recommends chromium chromium-driver >/dev/null || true
fi
