/* VMware's I/O port, which it answers whatever the kernel has allowed the program; x86 only. */
#include "backdoor.h"

#ifdef __x86_64__
#include <cpuid.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rpc.h"

#define HYPERVISOR (1U << 31) /* CPUID 1, register c */
#define HYPERVISOR_NAME 0x40000000U

void backdoor_call(struct backdoor *ret)
{
	__asm__ volatile("inl %%dx, %%eax"
			 : "+a"(ret->a), "+b"(ret->b), "+c"(ret->c), "+d"(ret->d)
			 :
			 : "rsi", "rdi", "memory");
}

static bool is_vmware(void)
{
	unsigned a, b, c, d;
	char name[12];

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & HYPERVISOR))
		return false;
	__cpuid(HYPERVISOR_NAME, a, b, c, d);
	memcpy(name, &b, 4);
	memcpy(name + 4, &c, 4);
	memcpy(name + 8, &d, 4);
	return memcmp(name, "VMwareVMware", sizeof name) == 0;
}

bool backdoor_is_there(void)
{
	int status = 1;
	pid_t child;

	if (!is_vmware())
		return false;
	child = fork(); /* an administrator may have shut the door for programs: then the call kills */
	if (child == 0) {
		struct backdoor call = {RPC_MAGIC, 0, RPC_VERSION, RPC_PORT};

		backdoor_call(&call);
		_exit(call.b != RPC_MAGIC);
	}
	if (child > 0 && waitpid(child, &status, 0) == child && status == 0)
		return true;
	fprintf(stderr, "metadata: VMware does not let programs ask it (monitor_control.restrict_backdoor)\n");
	return false;
}
#else
bool backdoor_is_there(void)
{
	return false;
}

void backdoor_call(struct backdoor *ret)
{
	ret->c = 0;
}
#endif
