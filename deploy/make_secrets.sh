#!/bin/sh
# Make the secrets that are not Turnout's own: Redis' users and their passwords, and Grafana's first password.
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

digest() { printf %s "$(cat "$folder/$1")" | sha256sum | cut -d ' ' -f 1; }

random | keep redis-password
random | keep redis-operator-password
# The users of both servers, by the digests of their passwords. Turnout is `default`, and needs no command that empties,
# configures or ends a server; `operator` is you, and a replica at its master.
{
    printf 'user default on #%s ~* &* +@all -@admin -@dangerous +info +role +cluster|info +cluster|slots\n' \
        "$(digest redis-password)"
    printf 'user operator on #%s ~* &* +@all\n' "$(digest redis-operator-password)"
} | keep redis-users
random | keep grafana-password
