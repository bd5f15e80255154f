#!/bin/sh
set -eu
chown -R rabbitmq:rabbitmq /var/lib/rabbitmq
exec runuser -u rabbitmq -- env PATH="$PATH" HOME="$HOME" RABBITMQ_LOGS="$RABBITMQ_LOGS" rabbitmq-server
