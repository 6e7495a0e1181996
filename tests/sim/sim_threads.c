/* sim_threads.c - see sim_threads.h. */
#include "sim_threads.h"

#include "sim.h"

#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>

#include <sanitizer/asan_interface.h>

#define STACK_BYTES      ((size_t)256 * 1024)
#define GUARD_BYTES      ((size_t)4096)
#define THREADS_MAX      160
#define LOCALS_BYTES_MAX 16384
#define LOCKS_MAX        1000000 /* that one thread takes before it waits: else it never does */
/* Virtual time begins here: durations from 0 on would hide what is computed with "never". */
#define EPOCH_NS      (1000 * SIM_SECOND)
#define WALL_EPOCH_NS (1700000000 * SIM_SECOND)

struct sim_thread {
    ucontext_t context;
    char *stack;
    void *sanitizer_stack;
    char name[16];
    unsigned number;
    void *(*run)(void *argument);
    void (*run_simple)(void *argument);
    void *argument;
    void *result;
    const void *waits_for;
    uint64_t wait_number; /* what was to end an earlier wait is of no concern */
    bool timed_out;
    bool detached;
    bool ended;
    bool serves;
    bool stalled;     /* it could run */
    bool interrupted; /* while it had something in the variables that are a thread's own */
    unsigned char locals[LOCALS_BYTES_MAX];
};

struct event {
    uint64_t due_ns;
    uint64_t order;
    void (*fire)(void *object);
    void *object;
    uint64_t wait_number; /* where `fire` is NULL the object is a thread, whose wait ends */
};

static struct {
    struct sim_thread *threads[THREADS_MAX];
    size_t thread_count;
    struct sim_thread *ready[THREADS_MAX];
    size_t ready_count;
    struct sim_thread *current;
    struct event *events; /* a heap */
    size_t event_count;
    size_t event_capacity;
    uint64_t event_order;
    uint64_t locks; /* since the last switch */
    size_t stalled_count;
    unsigned last_number;
    ucontext_t scheduler;
    const void *scheduler_stack;
    size_t scheduler_stack_bytes;
    void *scheduler_sanitizer_stack;
    struct sim_thread *spare[THREADS_MAX]; /* with their stacks, of threads that have ended */
    size_t spare_count;
    void *locals; /* where this thread of the kernel's has the program's thread-local variables */
    size_t locals_bytes;
} world;

/* ---- events ---- */

static bool before(const struct event *a, const struct event *b) {
    return a->due_ns < b->due_ns || (a->due_ns == b->due_ns && a->order < b->order);
}

static void push_event(struct event event) {
    event.order = world.event_order++;
    if (world.event_count == world.event_capacity) {
        world.event_capacity = world.event_capacity == 0 ? 1024 : 2 * world.event_capacity;
        world.events = realloc(world.events, world.event_capacity * sizeof *world.events);
        TV_ASSERT(world.events != NULL);
    }
    size_t at = world.event_count++;
    for (; at > 0 && before(&event, &world.events[(at - 1) / 2]); at = (at - 1) / 2)
        world.events[at] = world.events[(at - 1) / 2];
    world.events[at] = event;
}

static struct event pop_event(void) {
    struct event first = world.events[0];
    struct event last = world.events[--world.event_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < world.event_count && before(&world.events[child + 1], &world.events[child]))
            child++;
        if (child >= world.event_count || !before(&world.events[child], &last))
            break;
        world.events[at] = world.events[child];
        at = child;
    }
    world.events[at] = last;
    return first;
}

void sim_at(uint64_t due_ns, void (*fire)(void *object), void *object) {
    push_event((struct event){.due_ns = due_ns, .fire = fire, .object = object});
}

/* ---- switching ---- */

/* The variables that are a thread's own are the kernel thread's here, so that all virtual threads share them. Where one is
 * interrupted between using them (server/stream_out.c does) they are kept for it. */
static int find_locals(struct dl_phdr_info *info, size_t size, void *context) {
    (void)size;
    (void)context;
    world.locals = info->dlpi_tls_data;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_TLS)
            world.locals_bytes = info->dlpi_phdr[i].p_memsz;
    return 1; /* the program itself comes first, and is all that is wanted */
}

static void begin_switch(void **sanitizer_stack, const void *bottom, size_t bytes) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(sanitizer_stack, bottom, bytes);
#else
    (void)sanitizer_stack, (void)bottom, (void)bytes;
#endif
}

static void end_switch(void *sanitizer_stack, const void **bottom, size_t *bytes) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(sanitizer_stack, bottom, bytes);
#else
    (void)sanitizer_stack, (void)bottom, (void)bytes;
#endif
}

/* Out of the thread that runs, to whoever is next. */
static void leave(void) {
    struct sim_thread *self = world.current;
    begin_switch(self->ended ? NULL : &self->sanitizer_stack, world.scheduler_stack, world.scheduler_stack_bytes);
    swapcontext(&self->context, &world.scheduler);
    end_switch(self->sanitizer_stack, NULL, NULL);
}

static void enter(struct sim_thread *thread) {
    world.current = thread;
    world.locks = 0;
    if (thread->interrupted)
        memcpy(world.locals, thread->locals, world.locals_bytes);
    thread->interrupted = false;
    begin_switch(&world.scheduler_sanitizer_stack, thread->stack, STACK_BYTES);
    swapcontext(&world.scheduler, &thread->context);
    end_switch(world.scheduler_sanitizer_stack, NULL, NULL);
    world.current = NULL;
}

/* ---- waiting ---- */

static void make_ready(struct sim_thread *thread) {
    thread->waits_for = NULL;
    thread->wait_number++;
    world.ready[world.ready_count++] = thread;
}

void sim_yield(void) {
    world.ready[world.ready_count++] = world.current;
    leave();
}

bool sim_wait(const void *what, uint64_t until_ns) {
    struct sim_thread *self = world.current;
    self->waits_for = what;
    self->timed_out = false;
    if (until_ns != SIM_NEVER)
        push_event((struct event){.due_ns = until_ns, .object = self, .wait_number = self->wait_number});
    leave();
    return !self->timed_out;
}

void sim_wake(const void *what) {
    for (size_t i = 0; i < world.thread_count; i++)
        if (world.threads[i]->waits_for == what)
            make_ready(world.threads[i]);
}

static void wake_one(const void *what) {
    size_t waiting = 0;
    for (size_t i = 0; i < world.thread_count; i++)
        waiting += world.threads[i]->waits_for == what;
    if (waiting == 0)
        return;
    size_t chosen = sim_between(0, waiting - 1);
    for (size_t i = 0; i < world.thread_count; i++)
        if (world.threads[i]->waits_for == what && chosen-- == 0) {
            make_ready(world.threads[i]);
            return;
        }
}

void sim_sleep(uint64_t ns) {
    sim_wait(world.current, sim.now_ns + ns);
}

const struct sim_thread *sim_self(void) {
    return world.current;
}

bool sim_serves(void) {
    return world.current != NULL && world.current->serves;
}

bool sim_serve(bool serves) {
    bool before = world.current->serves;
    world.current->serves = serves;
    return before;
}

const char *sim_thread_name(void) {
    return world.current != NULL ? world.current->name : "world";
}

/* ---- threads ---- */

static void first_function(void) {
    struct sim_thread *self = world.current;
    end_switch(NULL, &world.scheduler_stack, &world.scheduler_stack_bytes);
    if (self->run_simple != NULL)
        self->run_simple(self->argument);
    else
        self->result = self->run(self->argument);
    self->ended = true;
    sim_wake(self);
    leave();
}

/* A function of its own, for getcontext might return twice. */
static void make_context(struct sim_thread *thread) {
    getcontext(&thread->context);
    thread->context.uc_stack.ss_sp = thread->stack;
    thread->context.uc_stack.ss_size = STACK_BYTES;
    thread->context.uc_link = NULL;
    makecontext(&thread->context, first_function, 0);
}

static struct sim_thread *make_thread(const char *name) {
    struct sim_thread *thread = world.spare_count > 0 ? world.spare[--world.spare_count] : NULL;
    TV_ASSERT(world.thread_count < THREADS_MAX);
    if (thread == NULL) {
        thread = calloc(1, sizeof *thread);
        TV_ASSERT(thread != NULL);
        char *memory = mmap(NULL, STACK_BYTES + GUARD_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        TV_ASSERT(memory != MAP_FAILED && mprotect(memory, GUARD_BYTES, PROT_NONE) == 0);
        thread->stack = memory + GUARD_BYTES;
    }
    ASAN_UNPOISON_MEMORY_REGION(thread->stack, STACK_BYTES);
    snprintf(thread->name, sizeof thread->name, "%s", name);
    thread->number = ++world.last_number;
    thread->run = NULL;
    thread->run_simple = NULL;
    thread->waits_for = NULL;
    thread->serves = false;
    thread->detached = thread->ended = thread->interrupted = thread->stalled = false;
    make_context(thread);
    world.threads[world.thread_count++] = thread;
    world.ready[world.ready_count++] = thread;
    return thread;
}

static void forget(struct sim_thread *thread) {
    for (size_t i = 0; i < world.thread_count; i++)
        if (world.threads[i] == thread)
            world.threads[i] = world.threads[--world.thread_count];
    thread->wait_number++; /* nothing that is still due is meant for the next one */
    world.spare[world.spare_count++] = thread;
}

struct sim_thread *sim_spawn(const char *name, void (*run)(void *argument), void *argument) {
    struct sim_thread *thread = make_thread(name);
    thread->run_simple = run;
    thread->argument = argument;
    return thread;
}

void sim_join(struct sim_thread *thread) {
    while (!thread->ended)
        sim_wait(thread, SIM_NEVER);
    forget(thread);
}

/* ---- who runs, and when ---- */

static void run_one(void) {
    size_t chosen = sim_between(0, world.ready_count - 1);
    struct sim_thread *thread = world.ready[chosen];
    world.ready[chosen] = world.ready[--world.ready_count];
    if (sim.sleepy_percent > 0 && sim_chance(sim.sleepy_percent)) { /* the kernel has others to run */
        thread->waits_for = &world;
        thread->stalled = true;
        world.stalled_count++;
        push_event((struct event){
            .due_ns = sim.now_ns + sim_between(0, 5 * SIM_MS), .object = thread, .wait_number = thread->wait_number});
        return;
    }
    sim_note(thread->number);
    enter(thread);
    if (thread->ended && thread->detached)
        forget(thread);
}

static void next_event(void) {
    struct event event = pop_event();
    struct sim_thread *thread = event.object;
    if (event.fire == NULL && thread->wait_number != event.wait_number)
        return;
    if (event.due_ns > sim.now_ns)
        sim.now_ns = event.due_ns;
    if (event.fire != NULL) {
        event.fire(event.object);
        return;
    }
    if (thread->stalled) /* it was woken before */
        world.stalled_count--;
    else
        thread->timed_out = true;
    thread->stalled = false;
    make_ready(thread);
}

void sim_threads_run(void (*run)(void *argument), void *argument, void (*step)(void), void (*idle)(void)) {
    if (world.locals == NULL)
        dl_iterate_phdr(find_locals, NULL);
    TV_ASSERT(world.locals_bytes <= LOCALS_BYTES_MAX);
    world.thread_count = world.ready_count = world.event_count = 0;
    world.event_order = world.last_number = 0;
    world.stalled_count = 0;
    struct sim_thread *main_thread = sim_spawn("main", run, argument);
    while (!main_thread->ended && sim.failure[0] == '\0') {
        if (world.ready_count > 0) {
            run_one();
            step();
            continue;
        }
        if (world.stalled_count == 0)
            idle();
        if (world.event_count == 0)
            sim_fail("nobody can run, and nothing is due");
        else
            next_event();
    }
    if (sim.failure[0] == '\0') {
        forget(main_thread);
        for (size_t i = 0; i < world.thread_count; i++)
            sim_fail("%s is still there at the end", world.threads[i]->name);
    }
}

/* ---- what the shipped code calls ---- */

uint64_t sim_clock_ns(void) {
    return EPOCH_NS + sim.now_ns;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *time) {
    uint64_t ns = (clock == CLOCK_REALTIME ? WALL_EPOCH_NS : EPOCH_NS) + sim.now_ns;
    *time = (struct timespec){(time_t)(ns / SIM_SECOND), (long)(ns % SIM_SECOND)};
    return 0;
}

int __wrap_usleep(useconds_t us);
int __wrap_usleep(useconds_t us) {
    sim_sleep(us * UINT64_C(1000));
    return 0;
}

/* What nobody is to guess is the same in every process: some of it is asked for once, and lives longer than a run. */
ssize_t __wrap_getrandom(void *bytes, size_t count, unsigned flags);
ssize_t __wrap_getrandom(void *bytes, size_t count, unsigned flags) {
    (void)flags;
    memset(bytes, 0xA5, count);
    return (ssize_t)count;
}

int __wrap_pthread_create(pthread_t *id, const pthread_attr_t *attributes, void *(*run)(void *), void *argument);
int __wrap_pthread_create(pthread_t *id, const pthread_attr_t *attributes, void *(*run)(void *), void *argument) {
    struct sim_thread *thread = make_thread("thread");
    int state = PTHREAD_CREATE_JOINABLE;
    if (attributes != NULL)
        pthread_attr_getdetachstate(attributes, &state);
    thread->detached = state == PTHREAD_CREATE_DETACHED;
    thread->run = run;
    thread->serves = sim_serves();
    thread->argument = argument;
    *id = (pthread_t)thread;
    return 0;
}

int __wrap_pthread_join(pthread_t id, void **result);
int __wrap_pthread_join(pthread_t id, void **result) {
    struct sim_thread *thread = (struct sim_thread *)id;
    sim_join(thread);
    if (result != NULL)
        *result = thread->result;
    return 0;
}

pthread_t __wrap_pthread_self(void);
pthread_t __wrap_pthread_self(void) {
    return (pthread_t)world.current;
}

int __wrap_pthread_setname_np(pthread_t id, const char *name);
int __wrap_pthread_setname_np(pthread_t id, const char *name) {
    snprintf(((struct sim_thread *)id)->name, sizeof((struct sim_thread *)id)->name, "%s", name);
    return 0;
}

int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *before_set);
int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *before_set) {
    (void)how, (void)set, (void)before_set;
    return 0;
}

static void interrupt(void) {
    memcpy(world.current->locals, world.locals, world.locals_bytes);
    world.current->interrupted = true;
    sim_yield();
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *lock);
int __wrap_pthread_mutex_lock(pthread_mutex_t *lock) {
    bool inside = world.current != NULL;
    TV_ASSERT(++world.locks < LOCKS_MAX);
    if (inside && sim.interrupt_percent > 0 && sim_chance(sim.interrupt_percent))
        interrupt();
    while (pthread_mutex_trylock(lock) != 0) {
        TV_ASSERT(inside); /* checks look only at what nobody has locked */
        interrupt();
    }
    return 0;
}

static int wait_on(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t until_ns) {
    bool in_time = true;
    pthread_mutex_unlock(lock);
    if (until_ns <= sim.now_ns) {
        sim_yield();
        in_time = false;
    } else if (sim.interrupt_percent > 0 && sim_chance(1)) {
        sim_yield(); /* it may come back without a reason */
    } else {
        in_time = sim_wait(cond, until_ns);
    }
    __wrap_pthread_mutex_lock(lock);
    return in_time ? 0 : ETIMEDOUT;
}

int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock);
int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock) {
    return wait_on(cond, lock, SIM_NEVER);
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *lock, const struct timespec *until);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *lock, const struct timespec *until) {
    uint64_t until_ns = (uint64_t)until->tv_sec * SIM_SECOND + (uint64_t)until->tv_nsec;
    return wait_on(cond, lock, until_ns > EPOCH_NS ? until_ns - EPOCH_NS : 0);
}

int __wrap_pthread_cond_signal(pthread_cond_t *cond);
int __wrap_pthread_cond_signal(pthread_cond_t *cond) {
    if (!sim_plant_strikes(SIM_PLANT_LOST_SIGNAL, 2))
        wake_one(cond);
    return 0;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *cond);
int __wrap_pthread_cond_broadcast(pthread_cond_t *cond) {
    if (!sim_plant_strikes(SIM_PLANT_LOST_SIGNAL, 2))
        sim_wake(cond);
    return 0;
}
