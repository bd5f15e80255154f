/* Runs a fuzzer without libFuzzer, by a part of its command line:
 *
 *     fuzz-json [-runs=N] [-seed=S] [-max_len=N] FILE|FOLDER…
 *
 * Each file is one input; then N inputs that are made of them by chance (a seed gives the same ones
 * again). What ends the process leaves its input in "crash-input" of the folder that FUZZ_CRASHES
 * names. The last line says how many inputs there were. */
#include "base/str.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES_MAX = 65536, PATH_BYTES = 512, FILE_BYTES_MAX = 1024 * 1024, CHANGES_MAX = 6 };

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

struct input {
    uint8_t *bytes;
    size_t len;
};

static struct input inputs[FILES_MAX];
static int inputs_count;
static struct input at_work;
static uint64_t dice_state;

/* ---- reading ---- */

static void die(const char *what, const char *path)
{
    (void)fprintf(stderr, "%s: %s\n", path, what);
    exit(2);
}

static void read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        die("cannot be read", path);
    if (inputs_count == FILES_MAX)
        die("too many files", path);
    struct input *input = &inputs[inputs_count++];
    input->bytes = malloc(FILE_BYTES_MAX);
    if (!input->bytes)
        die("no memory", path);
    input->len = fread(input->bytes, 1, FILE_BYTES_MAX, file);
    (void)fclose(file);
    uint8_t *fitting = realloc(input->bytes, input->len ? input->len : 1);
    input->bytes = fitting ? fitting : input->bytes;
}

static int is_visible(const struct dirent *entry) { return entry->d_name[0] != '.'; }

static void read_path(const char *path)
{
    struct stat stat_;
    struct dirent **names;
    char inside[PATH_BYTES];

    if (stat(path, &stat_) != 0)
        die("is not there", path);
    if (!S_ISDIR(stat_.st_mode)) {
        read_file(path);
        return;
    }
    int count = scandir(path, &names, &is_visible, &alphasort);
    for (int i = 0; i < count; i++) {
        (void)snprintf(inside, sizeof inside, "%s/%s", path, names[i]->d_name);
        read_file(inside);
        free(names[i]);
    }
    if (count >= 0)
        free(names);
}

/* ---- running ---- */

static void keep_crash(void)
{
    char path[PATH_BYTES];
    const char *folder = getenv("FUZZ_CRASHES");

    (void)snprintf(path, sizeof path, "%s/crash-input", folder ? folder : ".");
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return;
    if (write(fd, at_work.bytes, at_work.len) == (ssize_t)at_work.len)
        (void)fprintf(stderr, "the input is kept in %s\n", path);
    (void)close(fd);
}

static void on_abort(int signal_)
{
    (void)signal_;
    keep_crash(); /* and then it aborts */
}

/* As large as its bytes, so that a step over the end is seen. */
static void run(const uint8_t *bytes, size_t len)
{
    at_work.bytes = malloc(len ? len : 1);
    if (!at_work.bytes)
        abort();
    memcpy(at_work.bytes, bytes, len);
    at_work.len = len;
    (void)LLVMFuzzerTestOneInput(at_work.bytes, len);
    free(at_work.bytes);
    at_work = (struct input){ 0 };
}

/* ---- changing ---- */

static size_t dice(size_t below)
{
    dice_state = dice_state * 6364136223846793005ULL + 1442695040888963407ULL;
    return below ? (size_t)(dice_state >> 33) % below : 0;
}

static const struct input *any_input(void) { return &inputs[dice((size_t)inputs_count)]; }

/* Puts bytes of another input (or chance) at a place, over what is there or before it. */
static void put_bytes(struct input *input, size_t len_max)
{
    const struct input *from = any_input();
    size_t begin = dice(from->len), count = dice(from->len - begin) + (from->len > 0);
    size_t at = dice(input->len + 1);
    size_t moved = dice(2) ? input->len - at : 0;

    if (at + count + moved > len_max)
        return;
    if (moved == 0 && at + count > input->len)
        input->len = at + count;
    else if (moved > 0)
        input->len += count;
    memmove(input->bytes + at + count, input->bytes + at, moved);
    memcpy(input->bytes + at, from->bytes + begin, count);
}

static void change(struct input *input, size_t len_max)
{
    static const uint8_t special[] = { 0,   1,   0x7f, 0x80, 0xff, ' ', '\r', '\n', '"', '\\',
                                       '{', '}', '[',  ']',  ',',  ':', '%',  '.',  '/', '&' };
    size_t at = dice(input->len), count = dice(8) + 1;

    if (input->len == 0) {
        put_bytes(input, len_max);
        return;
    }
    switch (dice(6)) {
    case 0: input->bytes[at] ^= (uint8_t)(1U << dice(8)); break;
    case 1: input->bytes[at] = special[dice(sizeof special)]; break;
    case 2: input->bytes[at] = (uint8_t)dice(256); break;
    case 3:
        count = count < input->len - at ? count : input->len - at;
        memmove(input->bytes + at, input->bytes + at + count, input->len - at - count);
        input->len -= count;
        break;
    case 4: input->len = dice(8) ? input->len : at; break;
    default: put_bytes(input, len_max); break;
    }
}

static void run_changed(size_t len_max)
{
    static uint8_t room[FILE_BYTES_MAX];
    struct input changed = { .bytes = room };
    const struct input *from = any_input();

    changed.len = from->len < len_max ? from->len : len_max;
    memcpy(room, from->bytes, changed.len);
    for (size_t i = dice(CHANGES_MAX) + 1; i > 0; i--)
        change(&changed, len_max);
    run(room, changed.len);
}

int main(int argc, char **argv)
{
    unsigned long runs = 0, len_max = 4096;

    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(&keep_crash);
    (void)signal(SIGABRT, &on_abort);
    (void)LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "-runs=", 6) == 0)
            runs = strtoul(argv[i] + 6, NULL, 10);
        else if (strncmp(argv[i], "-seed=", 6) == 0)
            dice_state = strtoul(argv[i] + 6, NULL, 10);
        else if (strncmp(argv[i], "-max_len=", 9) == 0)
            len_max = strtoul(argv[i] + 9, NULL, 10);
        else
            read_path(argv[i]);
    }
    for (int i = 0; i < inputs_count; i++)
        run(inputs[i].bytes, inputs[i].len);
    for (unsigned long i = 0; i < runs && inputs_count > 0; i++)
        run_changed(len_max < FILE_BYTES_MAX ? len_max : FILE_BYTES_MAX);
    (void)printf("inputs: %d from files, %lu changed\n", inputs_count, runs);
    return inputs_count > 0 ? 0 : 2;
}
