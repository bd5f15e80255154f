# Stands in for docker.io/library/rabbitmq:3, which cannot be fetched where the tests run: Debian's RabbitMQ 3, with the files of
# settings where that image has them.
FROM debian:bookworm
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends rabbitmq-server \
    && rm -rf /var/lib/apt/lists/* /var/lib/rabbitmq/mnesia /var/lib/rabbitmq/.erlang.cookie
ENV PATH=/usr/lib/rabbitmq/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/var/lib/rabbitmq RABBITMQ_LOGS=-
COPY rabbitmq.sh /
EXPOSE 5672
VOLUME /var/lib/rabbitmq
ENTRYPOINT ["/rabbitmq.sh"]
