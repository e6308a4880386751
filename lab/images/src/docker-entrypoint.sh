#!/bin/sh
# Does what the published image's entry point does: options alone mean the server, and root becomes the image's user.
# SERVER, ACCOUNT and BECOME are put in when the image is made.
set -e

if [ "${1#-}" != "$1" ] || [ "${1%.conf}" != "$1" ]; then
	set -- SERVER "$@"
fi

if [ "$1" = SERVER ] && [ "$(id -u)" = 0 ]; then
	find . \! -user ACCOUNT -exec chown ACCOUNT '{}' +
	exec BECOME "$0" "$@"
fi

if [ "$(umask)" = 0022 ]; then
	umask 0077
fi

exec "$@"
