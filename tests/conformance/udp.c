/* `udp serve PORT NAME` answers every datagram with NAME; `udp ask ADDRESS PORT` sends one and prints the answer, within 2 s. Static, so that
   any image runs it. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static int serve(int sock, struct sockaddr_in *own, const char *name) {
    char buffer[512];
    if (bind(sock, (struct sockaddr *)own, sizeof *own)) return perror("bind"), 1;
    for (;;) {
        struct sockaddr_in peer;
        socklen_t size = sizeof peer;
        if (recvfrom(sock, buffer, sizeof buffer, 0, (struct sockaddr *)&peer, &size) >= 0)
            sendto(sock, name, strlen(name), 0, (struct sockaddr *)&peer, size);
    }
}

static int ask(int sock, struct sockaddr_in *peer) {
    char buffer[512];
    struct timeval patience = {2, 0};
    setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(sock, (struct sockaddr *)peer, sizeof *peer) || send(sock, "?", 1, 0) != 1) return perror("send"), 1;
    ssize_t got = recv(sock, buffer, sizeof buffer, 0);
    if (got < 0) return perror("recv"), 1;
    printf("%.*s\n", (int)got, buffer);
    return 0;
}

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    int sock = socket(AF_INET, SOCK_DGRAM, 0);
    if (argc == 4 && !strcmp(argv[1], "serve")) {
        address.sin_port = htons(atoi(argv[2]));
        return serve(sock, &address, argv[3]);
    }
    if (argc == 4 && !strcmp(argv[1], "ask") && inet_pton(AF_INET, argv[2], &address.sin_addr) == 1) {
        address.sin_port = htons(atoi(argv[3]));
        return ask(sock, &address);
    }
    return 2;
}
