/* What makes the machine this one: its name, its clock, its loopback device. */
#pragma once

void host_setup(void);
