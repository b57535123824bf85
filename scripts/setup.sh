#!/bin/sh
# Finds a Python 3.11 ($PYTHON, else python3.11, else python3) and runs environment.py with it; else one sentence.
set -eu

case "$(uname -s)" in
Linux | Darwin) ;;
*)
    echo "afgap: this runs on Linux and macOS; on Windows install WSL2 and run the same command inside it." >&2
    exit 2
    ;;
esac

version_of() { # a shim may be on the path for a Python that is not installed: ask it
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null </dev/null || true
}

found=
for candidate in ${PYTHON:-python3.11 python3}; do
    version=$(version_of "$candidate")
    if [ "$version" = 3.11 ]; then
        exec "$candidate" "$(dirname "$0")/environment.py" "$@"
    fi
    found="$found, $candidate is ${version:-not there}"
done
echo "afgap: this needs Python 3.11 and no other (3.12 and 3.13 are not tried yet), but ${found#, }:" \
    "install Python 3.11 or name it, as in PYTHON=/path/to/python3.11 make demo." >&2
exit 2
