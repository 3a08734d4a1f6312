/* The least that starting a program for each connection can be: accept, posix_spawn, close. */
#define _GNU_SOURCE
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (argc < 3 || strlen(argv[1]) >= sizeof address.sun_path) return 2;
    strcpy(address.sun_path, argv[1]);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) return 1;
    for (;;) {
        int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (connection < 0) return 1;
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, connection, 0);
        posix_spawn_file_actions_adddup2(&actions, connection, 1);
        pid_t child;
        if (posix_spawn(&child, argv[2], &actions, NULL, argv + 2, environ)) return 1;
        posix_spawn_file_actions_destroy(&actions);
        close(connection);
        while (waitpid(-1, NULL, WNOHANG) > 0) {}
    }
}
