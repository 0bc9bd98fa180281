# The image of all pods: `statefulroute`, with the operator, the resolver, and the commands of the chart's hooks and test.
#
# docker, podman and buildah build it; `make image` sets the tag and the labels. If the registries of images and packages
# need custom CA certificates, pass them: --secret id=ca-certificates,src=/path/to/bundle.crt
#
# Platforms: linux/amd64, linux/arm64, linux/arm/v7, linux/ppc64le and linux/s390x. For the last two, gRPC is compiled, which
# takes 40 minutes of a processor or more.
ARG BASE_IMAGE=python:3.13.15-slim-trixie@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b

# Where packages are compiled: the same image, for the platform that builds.
ARG COMPILER_IMAGE=${BASE_IMAGE}
# The cryptography: `standard`, or `fips`, which uses OpenSSL with its provider that is validated for FIPS 140-3, on
# linux/amd64 and linux/arm64.
ARG VARIANT=standard

FROM ${BASE_IMAGE} AS headers
COPY tools/image/wheels.py /
RUN python3 /wheels.py headers /headers

# The packages that the index has no wheels of for the platform; for most, it has all.
FROM --platform=${BUILDPLATFORM} ${COMPILER_IMAGE} AS wheels
ENV CARGO_HTTP_CAINFO=/etc/ssl/certs/ca-certificates.crt \
    PIP_CERT=/etc/ssl/certs/ca-certificates.crt \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
WORKDIR /source
COPY --from=headers /headers /headers
COPY tools/image/wheels.py /
COPY requirements/image-wheels.txt requirements/
COPY requirements/image.txt requirements/
ARG TARGETARCH
ARG VARIANT
RUN --mount=type=secret,id=ca-certificates,target=/etc/ssl/certs/ca-certificates.crt \
    python3 /wheels.py compile --headers /headers --architecture "${TARGETARCH}" --variant "${VARIANT}" \
        --requirements requirements/image.txt --build-requirements requirements/image-wheels.txt --destination /wheels

# Old versions of Buildah lose the platform of the image after a stage of another one, so it is named again.
FROM --platform=${TARGETPLATFORM} ${BASE_IMAGE} AS build
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_PYTHON_DOWNLOADS=never \
    UV_SYSTEM_CERTS=1
WORKDIR /source
COPY requirements/image-build.txt requirements/
RUN --mount=type=secret,id=ca-certificates,target=/etc/ssl/certs/ca-certificates.crt \
    python3 -m venv /tools \
    && /tools/bin/pip install --quiet --no-deps --require-hashes -r requirements/image-build.txt
COPY --from=wheels /wheels /wheels
RUN --mount=type=secret,id=ca-certificates,target=/etc/ssl/certs/ca-certificates.crt \
    /tools/bin/uv venv --quiet --python "$(command -v python3)" /opt/statefulroute \
    && /tools/bin/uv pip sync --quiet --python /opt/statefulroute --find-links /wheels --only-binary :all: \
        --require-hashes /wheels/requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
RUN /tools/bin/hatchling build --target wheel --directory /wheel \
    && /tools/bin/uv pip install --quiet --python /opt/statefulroute --no-deps /wheel/*.whl \
    && /tools/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
        --output-file /opt/statefulroute/sbom.cdx.json /opt/statefulroute

# OpenSSL's provider for FIPS, compiled from the validated source; nothing in the variant `standard`.
FROM --platform=${BUILDPLATFORM} ${COMPILER_IMAGE} AS provider
COPY tools/image/fips.py /
ARG TARGETARCH
ARG VARIANT
RUN --mount=type=secret,id=ca-certificates,target=/etc/ssl/certs/ca-certificates.crt \
    if [ "${VARIANT}" = fips ]; then \
        python3 /fips.py compile --architecture "${TARGETARCH}" --destination /provider; \
    else \
        mkdir /provider; \
    fi

FROM --platform=${TARGETPLATFORM} ${BASE_IMAGE} AS root
COPY --from=build /opt/statefulroute /opt/statefulroute
COPY --from=provider /provider /provider
COPY tools/image/root_filesystem.py tools/image/fips.py tools/image/fips_start.py tools/release/sbom.py /
ARG VARIANT
RUN python3 /root_filesystem.py --environment /opt/statefulroute --destination /root-filesystem \
    && python3 /sbom.py /root-filesystem \
    && if [ "${VARIANT}" = fips ]; then \
        python3 /fips.py install --provider /provider --environment /opt/statefulroute --root /root-filesystem; \
    fi \
    && chroot /root-filesystem /opt/statefulroute/bin/statefulroute --version

# Neither a shell nor a package manager.
FROM scratch
COPY --from=root /root-filesystem /
# The bytecode is compiled above, and the root file system may be read-only.
ENV PATH=/opt/statefulroute/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /
USER 65532:65532
ENTRYPOINT ["/opt/statefulroute/bin/statefulroute"]
ARG VERSION=unknown
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="StatefulRoute" \
    org.opencontainers.image.description="Sticky, stateful routing on Kubernetes: bindings of users to pods as API objects" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.created="${CREATED}" \
    io.statefulroute.sbom="/opt/statefulroute/sbom.cdx.json"
