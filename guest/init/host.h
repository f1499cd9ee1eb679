/* What makes the machine this one: its name, its clock, its loopback device. */
#ifndef LINUXKIT_HOST_H
#define LINUXKIT_HOST_H

void host_setup(void);

#endif
