/*
 * The contract between the host (build/boot.py) and PID 1: paths, record names and limits.
 * tests/guest/test_contract.py compares this file with the Python side, so keep one item a line.
 */
#pragma once

#define TABLE_PATH "/etc/linuxkit/boot.table"
#define TABLE_MAGIC "linuxkit-boot-table"
#define TABLE_VERSION "1"

#define MAX_TABLE_BYTES 1048576
#define MAX_UNITS 512
#define MAX_FIELDS 64    /* of one record, so of one argv too */
#define MAX_STRING 4095  /* bytes of one field; mount(2) takes no more than a page */
#define MAX_NAME 128     /* bytes of a unit's name */
#define MAX_TIME_MS 86400000
#define MAX_LOG_RING 65536
#define MAX_LOG_FILE 67108864
#define MAX_CONSOLE_RATE 1048576
#define MAX_PARALLEL 64
#define MAX_COUNT 1000000 /* of starts or probes in a row */
#define MAX_WATCHDOG_MS 3600000
#define MAX_LINK_NAME 15 /* IFNAMSIZ of linux/if.h, less the NUL */
#define MAX_LINK_KIND 31

#define REPORT_PORT "org.linuxkit.report"
#define REPORT_WORD "linuxkit.report="
#define MAX_REPORT_LINE 1024

#define UNITS_DIR "/run/units"   /* pid files */
#define PROBE_SUFFIX ".probe"    /* of the pid file: what a probe runs in a container */
#define NOTIFY_DIR "/run/notify" /* NAME/socket for each service that tells when it is ready */
#define LEARNED_DIR "/run/learned" /* SECTION/NAME/calls of each unit that learns */
#define LEARNED_CALLS 511        /* of which are counted; with their architecture one frame of an answer */
#define CONTROL_SOCKET "/run/linuxkit/control.sock"
#define CONTROL_PORT "org.linuxkit.control." /* and a digit below the number of ports */
#define CONTROL_PORTS 4
#define CONTROL_WORD "linuxkit.control=" /* and terminals instead of such ports: /dev/ttyS2,/dev/ttyS3 */

/*
 * Records of the boot table: name, least and most fields.  A head may stand before the first
 * unit only, a property inside a unit before its programs, a step inside a program.
 */
#define TABLE_RECORDS(X)                     \
	X(LOG_RING, "log-ring", HEAD, 1, 1)         \
	X(LOG_FILE, "log-file", HEAD, 1, 1)         \
	X(CONSOLE_RATE, "console-rate", HEAD, 1, 1) \
	X(PARALLEL, "parallel", HEAD, 1, 1)         \
	X(WATCHDOG, "watchdog", HEAD, 2, 2)         \
	X(UNIT, "unit", MARK, 2, 2)                 \
	X(ON_FAILURE, "on-failure", PROPERTY, 1, 1) \
	X(STOP_SIGNAL, "stop-signal", PROPERTY, 1, 1) \
	X(GRACE, "grace", PROPERTY, 1, 1)           \
	X(TIMEOUT, "timeout", PROPERTY, 1, 1)       \
	X(PIDFILE, "pidfile", PROPERTY, 1, 1)       \
	X(LOG, "log", PROPERTY, 1, 1)               \
	X(RESTART, "restart", PROPERTY, 1, 1)       \
	X(BACK_OFF, "back-off", PROPERTY, 4, 4)     \
	X(AFTER, "after", PROPERTY, 1, MAX_FIELDS)  \
	X(REQUIRES, "requires", PROPERTY, 1, MAX_FIELDS) \
	X(ENTER, "enter", PROPERTY, 1, MAX_FIELDS)  \
	X(READY, "ready", PROPERTY, 4, MAX_FIELDS)  \
	X(HEALTH, "health", PROPERTY, 6, MAX_FIELDS) \
	X(START, "start", MARK, 0, 0)               \
	X(CLEAN, "clean", MARK, 0, 0)               \
	X(MKDIR, "mkdir", STEP, 2, 2)               \
	X(DEVICE, "device", STEP, 2, 2)             \
	X(MOUNT, "mount", STEP, 5, 5)               \
	X(MOUNT_ONCE, "mount-once", STEP, 5, 5)     \
	X(UMOUNT, "umount", STEP, 1, 1)             \
	X(BIND_NS, "bind-ns", STEP, 2, 2)           \
	X(LINK, "link", STEP, 4, 4)                 \
	X(EXEC, "exec", STEP, 1, MAX_FIELDS)        \
	X(END, "end", MARK, 0, 0)

#define SECTION_NAMES {"volumes", "onboot", "services", "onshutdown"}
#define POLICY_NAMES {"stop", "continue", "reboot", "poweroff", "halt"}
#define RESTART_NAMES {"no", "on-failure", "always"}
#define PROBE_NAMES {"exec", "tcp", "file", "notify"}
#define LINK_PLACE_NAMES {"container", "root"}
#define NAMESPACE_NAMES {"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"}
