#!/bin/sh
# Creates missing files of the trial's Secrets. Git ignores these files.
set -eu
umask 077
cd "$(dirname "$0")"
mkdir -p secrets

random_password() { openssl rand -hex 24; }

if [ ! -s secrets/store-passwords.env ]; then
  printf 'redis-password=%s\npostgresql-password=%s\npostgresql-administrator-password=%s\n' \
    "$(random_password)" "$(random_password)" "$(random_password)" >secrets/new
  mv secrets/new secrets/store-passwords.env
fi
password_of() { sed -n "s/^$1=//p" secrets/store-passwords.env; }
cat >secrets/settings.env <<SETTINGS
BOOKWHEEL_DATABASE_URL=postgresql+psycopg://bookwheel:$(password_of postgresql-password)@bookwheel-postgresql:5432/bookwheel
BOOKWHEEL_REDIS_URL=redis://:$(password_of redis-password)@bookwheel-redis:6379/0
BOOKWHEEL_SEARCH_URL=elasticsearch://bookwheel-elasticsearch:9200
MLFLOW_TRACKING_URI=http://bookwheel-registry:5000
SETTINGS
if [ ! -s secrets/0001.pem ]; then
  openssl ecparam -name prime256v1 -genkey -noout -out secrets/new.pem
  mv secrets/new.pem secrets/0001.pem
fi
