# peerboot's image. The context is a folder that `make image` makes (tools/image.py): wheels by the lock, peerboot's own
# wheel, and the two scripts of images/peerboot. So the build itself needs no network, and no shell in the base.
#   BASE        what the image runs on: any glibc image with Python 3.11 or newer as python3, distroless ones too
#   BUILD_BASE  where the wheels are unpacked; of the same Python and machine
ARG BASE=python:3.13-slim
ARG BUILD_BASE=${BASE}

FROM ${BUILD_BASE} AS install
COPY . /context
RUN ["python3", "-I", "/context/install.py"]

FROM ${BASE} AS made
COPY --from=install /made /made
COPY finish.py /context/finish.py
RUN ["python3", "-IS", "/context/finish.py"]

FROM ${BASE}
ARG VERSION=unknown
ARG REVISION=unknown
# One layer: all that is not the base lies in /opt/peerboot, beside /run/peerboot for the server's files.
COPY --from=made /made/root/ /
# For `python3 -m peerboot` and whoever looks around; the programs themselves are isolated from the environment.
ENV PATH=/opt/peerboot/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/opt/peerboot/lib \
    PYTHONPYCACHEPREFIX=/opt/peerboot/pycache \
    PYTHONDONTWRITEBYTECODE=1
# Any user with group 0 will do; a Pod sets the server's own.
USER 65532:0
WORKDIR /
LABEL org.opencontainers.image.title="peerboot" \
      org.opencontainers.image.description="Brings a clustered server up in a Kubernetes StatefulSet, and says why." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      peerboot.sbom="/opt/peerboot/sbom.cdx.json"
ENTRYPOINT ["/opt/peerboot/bin/peerboot"]
CMD ["sidecar"]
