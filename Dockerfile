# gateway: the service, without torch.    docker build --target gateway --tag weaksam-gateway .
# trainer: the service and training.      docker build --target trainer --tag weaksam-trainer [--build-arg DEVICE=gpu] .
# Packages come from where pip's own settings say. Those of a private index are given to the build, and stay out of the
# image:                                  docker build --secret id=pip_conf,src=pip.conf ...
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS requirements
WORKDIR /src
RUN python -m venv --without-pip /opt/weaksam
COPY pyproject.toml constraints.txt ./
# The trainer's onnxruntime, for proposals and evaluation: cpu or gpu. Its torch has CUDA either way.
ARG DEVICE=cpu
# What each image needs beside the code has layers of its own: a change of the code does not install all of it again.
RUN python -c 'import os, pathlib, tomllib; \
project = tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]; \
extras = project["optional-dependencies"]; \
wanted = {"gateway": ["cpu", "triton", "otel"], "trainer": [os.environ["DEVICE"], "train"]}; \
[pathlib.Path(image).write_text("\n".join(sum([extras[name] for name in names], project["dependencies"]))) \
 for image, names in wanted.items()]'

FROM requirements AS wheel
COPY . .
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf --mount=type=cache,target=/root/.cache/pip \
    python -m pip wheel --no-deps --wheel-dir /wheel .

FROM requirements AS gateway-requirements
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf --mount=type=cache,target=/root/.cache/pip \
    python -m pip --python /opt/weaksam/bin/python install --constraint constraints.txt --requirement gateway

FROM requirements AS trainer-requirements
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf --mount=type=cache,target=/root/.cache/pip \
    python -m pip --python /opt/weaksam/bin/python install --constraint constraints.txt --requirement trainer

# A new volume takes over the owner of the folder it is mounted on: /models and /engines are for the volumes that
# `weaksam triton` and Triton write.
FROM ${BASE_IMAGE} AS runtime
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin weaksam \
 && install --directory --owner weaksam --group weaksam /models /engines
ENV PATH=/opt/weaksam/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /tmp
ENTRYPOINT ["weaksam"]

FROM runtime AS trainer
COPY --from=trainer-requirements /opt/weaksam /opt/weaksam
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel \
    pip --python /opt/weaksam/bin/python install --no-cache-dir --no-index --no-deps /wheel/*.whl
USER 10001:10001
CMD ["--help"]

FROM runtime AS gateway
COPY --from=gateway-requirements /opt/weaksam /opt/weaksam
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel \
    pip --python /opt/weaksam/bin/python install --no-cache-dir --no-index --no-deps /wheel/*.whl
USER 10001:10001
ENV WEAKSAM_HOST=0.0.0.0 WEAKSAM_PORT=8000
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=180s --retries=3 CMD ["python", "-I", "-c", "\
import http.client, os, sys; \
gateway = http.client.HTTPConnection('127.0.0.1', int(os.environ['WEAKSAM_PORT']), timeout=4); \
gateway.request('GET', '/readyz'); \
sys.exit(gateway.getresponse().status != 200)"]
CMD ["serve"]
