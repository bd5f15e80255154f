#!/bin/sh
# What the image of PostgreSQL runs once, in a new database cluster: for each service a database, and a role that owns it and
# nothing else.
set -eu
for service in users products orders; do
    psql -v ON_ERROR_STOP=1 -v password="$(cat "/run/secrets/${service}_password")" -U postgres <<SQL
create role duka_$service login password :'password';
create database duka_$service owner duka_$service template template0 encoding 'UTF8' locale 'C';
revoke connect, temporary on database duka_$service from public;
SQL
done
