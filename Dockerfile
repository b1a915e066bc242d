# The binary `milepost`, and nothing else: no shell, no libraries, no root. scripts/image builds it.
FROM scratch
COPY milepost /usr/bin/milepost
# For https:// endpoints; an own CA comes by `ca_bundle`.
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# Names are resolved by the C library inside the binary: hosts first, then DNS.
COPY nsswitch.conf /etc/nsswitch.conf
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
# Journals of saves and other own files go below it: a volume, or a tmpfs where the root is read-only.
ENV HOME=/data
# Nobody in particular: mounted folders must be writable for it, or the container is run with the broker's user.
USER 65532:65532
WORKDIR /data
ENTRYPOINT ["/usr/bin/milepost"]
