/* Handles in several threads, and in a forked child. */
#define _POSIX_C_SOURCE 200809L
#include "check.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 20 };

struct shared {
    numpack_store *store;
    numpack_array *array;
    uint8_t mark;
    int failed;
};

/* Appends through a handle and reads through another, both of which others use too. */
static void *work(void *user) {
    struct shared *mine = user;
    const char *name = "log";
    const uint64_t shape[] = {1, 1};
    numpack_view view = numpack_view_of(NUMPACK_DTYPE_UINT8, 2, shape, &mine->mark, 1);
    for (int i = 0; i < ROUNDS; i++) {
        uint8_t out[3];
        numpack_list *list = NULL;
        mine->failed += numpack_store_append(mine->store, &name, &view, 1) != NUMPACK_OK;
        mine->failed += numpack_array_read(mine->array, out, 3) != NUMPACK_OK;
        mine->failed += memcmp(out, "\1\2\3", 3) != 0;
        /* One state of the store, whatever the other thread does. */
        mine->failed += numpack_store_list(mine->store, &list) != NUMPACK_OK;
        mine->failed += numpack_list_count(list) != 2;
        numpack_list_free(list);
        /* Each thread has a message of its own. */
        mine->failed += numpack_array_read(mine->array, out, 2) != NUMPACK_PARAMETER;
        mine->failed += numpack_last_error(NULL, 0) == 0;
    }
    numpack_array_free(mine->array);
    numpack_store_free(mine->store);
    return NULL;
}

static void threads(const numpack_store *store) {
    const uint8_t bytes[] = {1, 2, 3};
    CHECK(save_bytes(store, "fixed", bytes, 3, 1) == NUMPACK_OK);
    CHECK(save_bytes(store, "log", bytes, 0, 1) == NUMPACK_OK);
    numpack_array *array = NULL;
    CHECK(numpack_array_open(store, "fixed", &array) == NUMPACK_OK);
    pthread_t ids[2];
    struct shared shared[2];
    for (int i = 0; i < 2; i++) {
        shared[i].store = numpack_store_retain(store);
        shared[i].array = numpack_array_retain(array);
        shared[i].mark = (uint8_t)(i + 1);
        shared[i].failed = 0;
        CHECK(pthread_create(&ids[i], NULL, work, &shared[i]) == 0);
    }
    numpack_array_free(array);
    for (int i = 0; i < 2; i++) {
        CHECK(pthread_join(ids[i], NULL) == 0 && shared[i].failed == 0);
    }
    uint8_t all[2 * ROUNDS];
    int ones = 0;
    CHECK(numpack_array_open(store, "log", &array) == NUMPACK_OK);
    CHECK(numpack_array_read(array, all, sizeof all) == NUMPACK_OK);
    for (int i = 0; i < 2 * ROUNDS; i++) {
        ones += all[i] == 1;
    }
    CHECK(ones == ROUNDS);
    numpack_array_free(array);
}

/* Runs in the child. */
static int child(numpack_store *store, numpack_writer *writer, numpack_writer *other) {
    const uint8_t bytes[] = {9};
    const char *name = "child";
    const uint64_t shape[] = {1, 1};
    numpack_view view = numpack_view_of(NUMPACK_DTYPE_UINT8, 2, shape, bytes, 1);
    numpack_writer *third = NULL;
    numpack_array *array = NULL;
    CHECK(numpack_store_save(store, &name, &view, 1) == NUMPACK_FORKED);
    CHECK(numpack_store_begin(store, NULL, &third) == NUMPACK_FORKED);
    CHECK(numpack_writer_save(writer, &name, &view, 1) == NUMPACK_FORKED);
    CHECK(numpack_writer_array(writer, "fixed", &array) == NUMPACK_FORKED);
    CHECK(numpack_writer_commit(other, NULL, NULL) == NUMPACK_FORKED);
    numpack_writer_free(writer);
    CHECK(holds(store, "fixed", "\1\2\3", 3));
    /* The parent has the lock still. */
    numpack_store *own = NULL;
    numpack_store_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.no_wait = 1;
    CHECK(numpack_store_open(numpack_store_get_path(store), &options, &own) == NUMPACK_OK);
    CHECK(numpack_store_save(own, &name, &view, 1) == NUMPACK_LOCKED);
    numpack_store_free(own);
    numpack_store_free(store);
    return failures;
}

static void forked(numpack_store *store, const char *folder) {
    char path[1100];
    join(path, sizeof path, folder, "forked.npk");
    const uint8_t bytes[] = {4};
    const char *name = "parent";
    const uint64_t shape[] = {1, 1};
    numpack_view view = numpack_view_of(NUMPACK_DTYPE_UINT8, 2, shape, bytes, 1);
    numpack_writer *writer = NULL, *other = NULL;
    CHECK(numpack_store_begin(store, NULL, &writer) == NUMPACK_OK);
    CHECK(numpack_writer_create(path, NULL, &other) == NUMPACK_OK);
    CHECK(numpack_writer_save(writer, &name, &view, 1) == NUMPACK_OK);
    CHECK(numpack_writer_save(other, &name, &view, 1) == NUMPACK_OK);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(child(store, writer, other) == 0 ? 0 : 1);
    }
    int status = -1;
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(numpack_writer_commit(writer, NULL, NULL) == NUMPACK_OK);
    CHECK(numpack_writer_commit(other, NULL, NULL) == NUMPACK_OK);
    CHECK(holds(store, "parent", bytes, 1) && !holds(store, "child", bytes, 1));
    CHECK(numpack_store_verify(path, NULL, NULL, NULL, NULL) == NUMPACK_OK);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        return 2;
    }
    char path[1024];
    join(path, sizeof path, argv[2], "sharing.npk");
    numpack_store *store = NULL;
    CHECK(numpack_store_create(path, NULL, &store) == NUMPACK_OK);
    threads(store);
    forked(store, argv[2]);
    numpack_store_free(store);
    return finish();
}
