/*
 * Tries what a container may or may not do, and prints "name result" lines: "ok", the name of an
 * error, or a value that was read.  It judges nothing; the test that started it does.
 */
#pragma once

#include <stdbool.h>

const char *error_name(int number);
void say(const char *name, long result); /* negative: what is in errno */
void say_text(const char *name, const char *text);
/* What becomes of a child that does this: "ok", an error, or the signal that ended it. */
void in_child(const char *name, int (*act)(void));

void identity(void);
void limit(const char *name, int kind);
void calls(void);
void memory(void);
void sockets(void);
int abstract(bool make);
void tell_ready(void);
void files(void);
void devices(void);
void processes(void);
int devour(void);
int leave_orphans(int wanted);
int keep_writing(const char *folder);
int gabble(const char *path, int seconds);
