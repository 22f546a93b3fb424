# Everything a person needs, on a machine that has only Python 3.11+, make and git:
#   make demo     scan the demo scene; results in out/
#   make test     every test
#   make labeling the environment of labeling/ and datasets/, without torch
#   make archive  the environment of inference/rescore.py and compare.py, without torch
#   make labelstudio  that, and Label Studio on this machine
#   make bench    pithead beside SAHI, ultralytics and GeoDeep on one scene (downloads 5 GB)
# Each target does all of its own set-up, in folders of this checkout (downloads are cached by uv).

# The first interpreter on the PATH that is new enough.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
UV := .uv/bin/uv
LOCK := $(UV) pip compile pyproject.toml --python-version 3.11 --universal --fork-strategy fewest \
	--generate-hashes --no-emit-index-url --custom-compile-command "make lock" --quiet

# Nothing leaves the machine (DESIGN.md): these tools report home unless told not to.
export BENTOML_DO_NOT_TRACK := True
export YOLO_OFFLINE := True
export NO_ALBUMENTATIONS_UPDATE := 1
export RAY_USAGE_STATS_ENABLED := 0
export DO_NOT_TRACK := 1
export ORT_DISABLE_TELEMETRY := 1
# uv uses the interpreter above and never fetches one.
export UV_PYTHON_DOWNLOADS := never

.PHONY: demo test lint format bench serve bento archive labeling labelstudio lock
.DELETE_ON_ERROR:

demo: .venv-scan/.ready
	.venv-scan/bin/python inference/scan.py datasets/demo/demo.tif --weights weights/starter.onnx --out out

test: .venv/.ready .venv-labelstudio/.ready
	.venv/bin/python -m pytest

lint: .venv/.ready
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

format: .venv/.ready
	.venv/bin/ruff check --fix-only --quiet .
	.venv/bin/ruff format .

# More of it: make bench BENCH="memory --size 8192".
bench: .venv-bench/.ready
	.venv-bench/bin/python benchmarks/scan_peers.py $(BENCH)

serve: .venv-serve/.ready
	.venv-serve/bin/python -m bentoml serve inference/service.py:Pithead

# The service with its weights, as one archive to deploy; bentoml wants to find uv.
bento: .venv-serve/.ready
	PATH="$(CURDIR)/.uv/bin:$$PATH" .venv-serve/bin/python -m bentoml build

labeling: .venv-labeling/.ready

archive: .venv-archive/.ready

# Label Studio for one person or a small team, on loopback, in out/labelstudio; it shows images under out/.
# What it would still fetch from elsewhere goes to a proxy that is not there.
labelstudio: .venv-labelstudio/.ready .venv-labeling/.ready
	mkdir -p out/labelstudio
	COLLECT_ANALYTICS=false SENTRY_DSN= FRONTEND_SENTRY_DSN= LATEST_VERSION_CHECK=false \
		HTTP_PROXY=http://127.0.0.1:9 HTTPS_PROXY=http://127.0.0.1:9 NO_PROXY=127.0.0.1,localhost \
		LABEL_STUDIO_BASE_DATA_DIR=$(CURDIR)/out/labelstudio \
		LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=$(CURDIR)/out \
		.venv-labelstudio/bin/label-studio start --no-browser --internal-host 127.0.0.1 --port 8080

# The dev lock is the widest; the others are held to its versions, so that all environments agree.
lock: .uv/.ready
	$(LOCK) --extra dev -o requirements/dev.lock
	$(UV) pip compile requirements/installer.in --python-version 3.11 --universal --generate-hashes \
		--no-emit-index-url --custom-compile-command "make lock" --quiet -o requirements/installer.lock
	for extra in scan train serve archive labeling; do \
		$(LOCK) --extra $$extra -c requirements/dev.lock -o requirements/$$extra.lock || exit 1; done
	$(UV) pip compile requirements/labelstudio.in --python-version 3.11 --universal --generate-hashes \
		--no-emit-index-url --custom-compile-command "make lock" --quiet -o requirements/labelstudio.lock
	$(LOCK) requirements/bench.in --extra train -c requirements/dev.lock -o requirements/bench.lock

# A private uv, pinned by hash. The stamp is written last: what a kill left half-made is made again.
.uv/.ready: requirements/installer.lock
	@test -n "$(PYTHON)" || { echo "error: make needs Python 3.11 or newer on the PATH" >&2; exit 1; }
	rm -rf .uv
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/installer.lock
	touch $@

.venv/.ready: requirements/dev.lock | .uv/.ready
.venv-scan/.ready: requirements/scan.lock | .uv/.ready
.venv-serve/.ready: requirements/serve.lock | .uv/.ready
.venv-bench/.ready: requirements/bench.lock | .uv/.ready
.venv-labelstudio/.ready: requirements/labelstudio.lock | .uv/.ready
.venv-labeling/.ready: requirements/labeling.lock | .uv/.ready
.venv-archive/.ready: requirements/archive.lock | .uv/.ready

# pithead is not built or installed here but found through a path file: the checkout is what runs,
# from whatever folder its programs are called, and no build backend has to be fetched.
.venv/.ready .venv-scan/.ready .venv-serve/.ready .venv-bench/.ready .venv-labelstudio/.ready .venv-labeling/.ready .venv-archive/.ready:
	rm -rf $(@D)
	$(UV) venv --quiet --python .uv/bin/python $(@D)
	$(UV) pip sync --quiet --require-hashes --python $(@D)/bin/python $<
	$(@D)/bin/python -c 'import pathlib, site; pathlib.Path(site.getsitepackages()[0], "pithead.pth").write_text("$(CURDIR)\n")'
	touch $@
