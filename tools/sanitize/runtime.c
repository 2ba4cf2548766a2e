/* What AddressSanitizer's runtime needs on top to be a library that is preloaded into CPython. */
#include <stddef.h>
#include <stdlib.h>

struct arenas {
	void *context;
	void *(*take)(void *, size_t);
	void (*give_back)(void *, void *, size_t);
};

extern void __asan_init(void);
/* Not there in what is no Python. */
extern void PyObject_SetArenaAllocator(struct arenas *) __attribute__((weak));

static void *take(void *context, size_t size)
{
	(void)context;
	return malloc(size);
}

static void give_back(void *context, void *memory, size_t size)
{
	(void)context;
	(void)size;
	free(memory);
}

/* An executable would initialize the runtime before all else. The locals of Python's frames lie in
 * arenas, which are maps of their own: LeakSanitizer looks for references in memory of malloc. */
__attribute__((constructor(101))) static void initialize(void)
{
	struct arenas ours = {NULL, take, give_back};

	__asan_init();
	if (PyObject_SetArenaAllocator)
		PyObject_SetArenaAllocator(&ours);
}
