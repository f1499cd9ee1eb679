/* What memlogd and its callers agree on; upstream's. */
#pragma once

#define LOG_SOCKET "/var/run/linuxkit-external-logging.sock"
#define QUERY_SOCKET "/var/run/memlogdq.sock"

/*
 * The value of an option that stands at argv[*i] as "-name value", "--name value" or "-name=value"; *i moves
 * to its last word.  NULL: it is another one.  The program ends with status 2 when there is no value.
 */
const char *option(const char *name, int argc, char *argv[], int *i);
