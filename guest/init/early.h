/* The first steps of the machine: the root and the file systems everything else stands on. */
#pragma once

/* On a real machine only: makes the root a mount that can be left, mounts, makes / read-only. */
void early_machine(void);
/* Everywhere: the folders PID 1 itself needs below /run and /var. */
void early_folders(void);
