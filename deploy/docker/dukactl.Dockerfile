# The image dukactl, the operator's tool: one static program in nothing else. Built from the root of the project:
#   docker build -t dukactl:1.0 -f deploy/docker/dukactl.Dockerfile .
# docs/images.md tells what is in it and how it is run.
FROM debian:bookworm AS build
WORKDIR /duka
COPY scripts/common.sh scripts/bootstrap scripts/
COPY tools/requirements-build.txt tools/sources.txt tools/
RUN scripts/bootstrap static
COPY scripts/static-deps scripts/
COPY scripts/lib/debian_sources.sh scripts/lib/
RUN scripts/static-deps
COPY . .
RUN scripts/build static
RUN scripts/image-root dukactl /image

FROM scratch
LABEL org.opencontainers.image.title="dukactl" \
    org.opencontainers.image.description="The tool of who runs a Duka shop" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.base.name="scratch"
COPY --from=build /image/root /
COPY --from=build --chown=65532:65532 /image/user /
ENV DATA_DIR=/data SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
USER 65532:65532
WORKDIR /data
VOLUME /data
ENTRYPOINT ["/dukactl"]
