#!/bin/sh
# A new cluster with the password of POSTGRES_PASSWORD_FILE, filled by /docker-entrypoint-initdb.d over its socket; then the server.
set -eu
install -d -m 700 -o postgres -g postgres "$PGDATA"
install -d -m 2775 -o postgres -g postgres /var/run/postgresql
as_postgres() { runuser -u postgres -- env PATH="$PATH" PGDATA="$PGDATA" "$@"; }
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    # shellcheck disable=SC2086
    as_postgres initdb --username=postgres --pwfile="$POSTGRES_PASSWORD_FILE" --auth-local=trust --auth-host=scram-sha-256 \
        ${POSTGRES_INITDB_ARGS:-}
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    as_postgres pg_ctl -w -o "-c listen_addresses=''" start
    for script in /docker-entrypoint-initdb.d/*.sh; do as_postgres sh "$script"; done
    as_postgres pg_ctl -w -m fast stop
fi
exec runuser -u postgres -- env PATH="$PATH" postgres -D "$PGDATA" -c 'listen_addresses=*'
