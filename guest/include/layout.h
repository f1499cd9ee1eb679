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

#define REPORT_PORT "org.linuxkit.report"
#define REPORT_WORD "linuxkit.report="
#define MAX_REPORT_LINE 1024

#define UNITS_DIR "/run/units" /* pid files */

/*
 * Records of the boot table: name, least and most fields.  A head may stand before the first
 * unit only, a property inside a unit before its programs, a step inside a program.
 */
#define TABLE_RECORDS(X)                     \
	X(LOG_RING, "log-ring", HEAD, 1, 1)         \
	X(LOG_FILE, "log-file", HEAD, 1, 1)         \
	X(CONSOLE_RATE, "console-rate", HEAD, 1, 1) \
	X(PARALLEL, "parallel", HEAD, 1, 1)         \
	X(UNIT, "unit", MARK, 2, 2)                 \
	X(ON_FAILURE, "on-failure", PROPERTY, 1, 1) \
	X(STOP_SIGNAL, "stop-signal", PROPERTY, 1, 1) \
	X(GRACE, "grace", PROPERTY, 1, 1)           \
	X(TIMEOUT, "timeout", PROPERTY, 1, 1)       \
	X(PIDFILE, "pidfile", PROPERTY, 1, 1)       \
	X(LOG, "log", PROPERTY, 1, 1)               \
	X(START, "start", MARK, 0, 0)               \
	X(CLEAN, "clean", MARK, 0, 0)               \
	X(MKDIR, "mkdir", STEP, 2, 2)               \
	X(MOUNT, "mount", STEP, 5, 5)               \
	X(UMOUNT, "umount", STEP, 1, 1)             \
	X(BIND_NS, "bind-ns", STEP, 2, 2)           \
	X(EXEC, "exec", STEP, 1, MAX_FIELDS)        \
	X(END, "end", MARK, 0, 0)

#define SECTION_NAMES {"volumes", "onboot", "services", "onshutdown"}
#define POLICY_NAMES {"stop", "continue", "reboot", "poweroff"}
#define NAMESPACE_NAMES {"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"}
