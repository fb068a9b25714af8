#!/bin/sh
# Make the secrets that are not Turnout's own: Redis' password and users, and Grafana's first password.
#
#     deploy/make_secrets.sh FOLDER        such as deploy/secrets, which git does not know
#
# What is there already stays. The folder is yours alone; the files in it may be read by anybody, because containers
# run as other users than you and get each file by itself. Turnout's own secrets, secrets.json, the ledger makes.
set -eu
folder=${1:?which folder}
umask 077
mkdir -p "$folder"
chmod 0700 "$folder"

random() { od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n'; }

keep() {
    if [ -e "$folder/$1" ]; then cat > /dev/null; return; fi
    cat > "$folder/$1.new"
    chmod 0444 "$folder/$1.new"
    mv "$folder/$1.new" "$folder/$1"
    echo "$folder/$1"
}

random | keep redis-password
# The one user of both servers, by the digest of the password; Turnout needs no command that configures or ends a server.
digest=$(printf %s "$(cat "$folder/redis-password")" | sha256sum | cut -d ' ' -f 1)
printf 'user default on #%s ~* &* +@all -@admin -@dangerous +info +role\n' "$digest" | keep redis-users
random | keep grafana-password
