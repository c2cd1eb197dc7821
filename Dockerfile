# tidegate in a container: built from source, run as nobody in particular, jobs kept in the volume /data.
#
#   docker build -t tidegate .
#   docker run --rm -p 8080:8080 -v tidegate-data:/data tidegate

FROM rust:1.95-slim-bookworm AS build
# The image brings the compiler; without this, rustup would fetch the linters that rust-toolchain.toml asks for.
ENV RUSTUP_TOOLCHAIN=1.95.0
# The Kafka client is C and is built along; TLS to Kafka is by the system's OpenSSL.
RUN apt-get update && apt-get install -y --no-install-recommends g++ make pkg-config libssl-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin tidegate

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends libssl3 ca-certificates && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin tidegate \
 && install -d -o tidegate -g tidegate /data
COPY --from=build /src/target/release/tidegate /usr/local/bin/tidegate
COPY policies /etc/tidegate/policies
COPY config /etc/tidegate/config
WORKDIR /etc/tidegate
USER tidegate
VOLUME /data

# Clients come from outside the container. The admin listener stays on loopback: to open it, set a token file too.
ENV TIDEGATE_INGEST__LISTEN=0.0.0.0:8080 \
    TIDEGATE_EMBEDDED__PATH=/data/queue.db
EXPOSE 8080

# The image has no HTTP client; bash asks by itself.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && head -1 <&3 | grep -q ' 200 '"]

ENTRYPOINT ["tidegate"]
CMD ["serve"]
