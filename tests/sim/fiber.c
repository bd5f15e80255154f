#include "tests/sim/fiber.h"

#include "base/err.h"

#include <errno.h>
#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#define FIBER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#endif
#endif

#ifdef FIBER_ASAN
void __sanitizer_start_switch_fiber(void **fake_stack, const void *bottom, size_t size);
void __sanitizer_finish_switch_fiber(void *fake_stack, const void **bottom, size_t *size);
void __asan_unpoison_memory_region(volatile void *addr, size_t size);
#endif

#if defined(__SANITIZE_THREAD__)
#define FIBER_TSAN 1
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
#endif

enum { PAGE_BYTES = 4096 };

struct fiber {
#if defined(__x86_64__)
    void *top; /* where its registers lie while it rests */
#else
    ucontext_t context;
#endif
    char *memory; /* of its stack, the guard below; NULL: the machine's own */
    size_t memory_bytes;
    const void *bottom; /* for AddressSanitizer, as the three below */
    size_t size;
    void *fake_stack;
    void *tsan; /* ThreadSanitizer's own name for it */
    void (*run)(void *subject);
    void *subject;
    int errno_kept;
    char *locals; /* while it rests */
};

/* ---- thread-local variables of the program ---- */

static struct {
    char *live;
    const char *image;
    size_t image_bytes, bytes;
    bool is_known;
} locals;

static int find_locals(struct dl_phdr_info *info, size_t size, void *subject)
{
    (void)size, (void)subject;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_TLS) {
            locals.live = info->dlpi_tls_data;
            locals.image = (const char *)(uintptr_t)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
            locals.image_bytes = info->dlpi_phdr[i].p_filesz;
            locals.bytes = info->dlpi_phdr[i].p_memsz;
        }
    return 1; /* the program itself comes first */
}

static struct fiber *make(void)
{
    if (!locals.is_known)
        dl_iterate_phdr(find_locals, NULL);
    locals.is_known = true;
    struct fiber *fiber = calloc(1, sizeof *fiber);
    ASSERT(fiber);
    fiber->locals = calloc(1, locals.bytes + 1);
    ASSERT(fiber->locals);
    if (locals.image_bytes > 0)
        memcpy(fiber->locals, locals.image, locals.image_bytes);
    return fiber;
}

static void keep_locals(struct fiber *fiber)
{
    fiber->errno_kept = errno;
    if (locals.bytes > 0)
        memcpy(fiber->locals, locals.live, locals.bytes);
}

static void restore_locals(const struct fiber *fiber)
{
    if (locals.bytes > 0)
        memcpy(locals.live, fiber->locals, locals.bytes);
    errno = fiber->errno_kept;
}

/* ---- switching ---- */

static struct fiber *left, *entered; /* by the switch under way */

/* Before: the sanitizer learns where we go. `ends`: the one that leaves never comes back. */
static void before_switch(struct fiber *self, struct fiber *to, bool ends)
{
    keep_locals(self);
    left = self;
    entered = to;
#ifdef FIBER_ASAN
    __sanitizer_start_switch_fiber(ends ? NULL : &self->fake_stack, to->bottom, to->size);
#else
    (void)ends;
#endif
#ifdef FIBER_TSAN
    __tsan_switch_to_fiber(to->tsan, 0);
#endif
}

/* After, on the other stack. */
static void after_switch(void)
{
#ifdef FIBER_ASAN
    __sanitizer_finish_switch_fiber(entered->fake_stack, &left->bottom, &left->size);
#endif
    restore_locals(entered);
}

static void enter(void)
{
    after_switch();
    entered->run(entered->subject);
    ASSERT(false);
}

#if defined(__x86_64__)

/* Puts the registers that a function keeps for its caller on the stack, and goes on with another.
 */
void fiber_jump(void **top_left, void *top_entered);
__asm__(".text\n"
        ".globl fiber_jump\n"
        ".type fiber_jump, @function\n"
        "fiber_jump:\n"
        "  pushq %rbp\n"
        "  pushq %rbx\n"
        "  pushq %r12\n"
        "  pushq %r13\n"
        "  pushq %r14\n"
        "  pushq %r15\n"
        "  movq %rsp, (%rdi)\n"
        "  movq %rsi, %rsp\n"
        "  popq %r15\n"
        "  popq %r14\n"
        "  popq %r13\n"
        "  popq %r12\n"
        "  popq %rbx\n"
        "  popq %rbp\n"
        "  ret\n"
        ".size fiber_jump, .-fiber_jump\n");

static void jump(struct fiber *self, struct fiber *to) { fiber_jump(&self->top, to->top); }

/* As if enter() had been called by nobody: at its entry the stack is 8 bytes off a multiple of 16.
 */
static void lay_out(struct fiber *fiber)
{
    enum { REGISTERS_KEPT = 6 };
    void **top = (void **)(void *)(fiber->memory + fiber->memory_bytes) - 3;
    top[0] = NULL;
    *--top = (void *)(uintptr_t)enter;
    top -= REGISTERS_KEPT;
    memset(top, 0, sizeof(void *) * REGISTERS_KEPT);
    fiber->top = top;
}

/* By the chain of frame pointers, which all of our code keeps; that of others may end it. */
__attribute__((no_sanitize("address"))) int fiber_places(const struct fiber *fiber,
                                                         const void **out, int count_max)
{
    enum { FRAME_AT = 5, BACK_AT };
    const char *end = fiber->memory + fiber->memory_bytes;
    void **registers = fiber->top;
    int count = 0;
    if (!fiber->memory || !registers)
        return 0;
    out[count++] = registers[BACK_AT];
    void **frame = registers[FRAME_AT];
    while (count < count_max && (char *)frame > (char *)registers && (char *)(frame + 2) <= end &&
           (uintptr_t)frame % sizeof(void *) == 0) {
        out[count++] = frame[1];
        if ((char *)frame[0] <= (char *)frame)
            break;
        frame = frame[0];
    }
    return count;
}

#else

int fiber_places(const struct fiber *fiber, const void **out, int count_max)
{
    (void)fiber, (void)out, (void)count_max;
    return 0;
}

static void jump(struct fiber *self, struct fiber *to)
{
    int code = swapcontext(&self->context, &to->context);
    ASSERT(code == 0);
}

static void lay_out(struct fiber *fiber)
{
    int code = getcontext(&fiber->context);
    ASSERT(code == 0);
    fiber->context.uc_stack.ss_sp = fiber->memory + PAGE_BYTES;
    fiber->context.uc_stack.ss_size = fiber->memory_bytes - PAGE_BYTES;
    makecontext(&fiber->context, enter, 0);
}

#endif

/* ---- what others call ---- */

struct fiber *fiber_of_caller(void)
{
    struct fiber *fiber = make();
#ifdef FIBER_TSAN
    fiber->tsan = __tsan_get_current_fiber();
#endif
    return fiber;
}

struct fiber *fiber_make(void (*run)(void *subject), void *subject, size_t stack_bytes)
{
    struct fiber *fiber = make();
    fiber->run = run;
    fiber->subject = subject;
    fiber->memory_bytes = stack_bytes + PAGE_BYTES;
    fiber->memory = mmap(NULL, fiber->memory_bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ASSERT(fiber->memory != MAP_FAILED);
    int code = mprotect(fiber->memory, PAGE_BYTES, PROT_NONE);
    ASSERT(code == 0);
    fiber->bottom = fiber->memory + PAGE_BYTES;
    fiber->size = stack_bytes;
#ifdef FIBER_TSAN
    fiber->tsan = __tsan_create_fiber(0);
#endif
    lay_out(fiber);
    return fiber;
}

void fiber_switch(struct fiber *self, struct fiber *to)
{
    ASSERT(self && to && self != to);
    before_switch(self, to, false);
    jump(self, to);
    after_switch();
}

_Noreturn void fiber_leave(struct fiber *self, struct fiber *to)
{
    ASSERT(self && to && self != to);
    before_switch(self, to, true);
    jump(self, to);
    panic(ERR_PLACE, "a stack that was left runs again", __func__);
}

void fiber_free(struct fiber *fiber)
{
    if (!fiber)
        return;
    if (fiber->memory) {
#ifdef FIBER_ASAN
        __asan_unpoison_memory_region(fiber->memory, fiber->memory_bytes);
#endif
#ifdef FIBER_TSAN
        __tsan_destroy_fiber(fiber->tsan);
#endif
        int code = munmap(fiber->memory, fiber->memory_bytes);
        ASSERT(code == 0);
    }
    free(fiber->locals);
    free(fiber);
}
