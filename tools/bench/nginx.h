/* What requests over HTTP are measured against: nginx with a static answer, in the same run. */
#ifndef TOOLS_BENCH_NGINX_H
#define TOOLS_BENCH_NGINX_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <signal.h>
#include <unistd.h>

static inline unsigned nginx_free_port(void) {
  struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof own;
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(fd, (struct sockaddr *)&own, len) != 0 || getsockname(fd, (struct sockaddr *)&own, &len) != 0) abort();
  close(fd);
  return ntohs(own.sin_port);
}

/* As many processes as our API has threads, and an answer of 599 bytes, as long as that of one node. Everything of it lies in the
 * folder. -1: there is no nginx.                                                                                                  */
static inline pid_t nginx_start(const char *folder, unsigned *port) {
  if (access("/usr/sbin/nginx", X_OK) != 0) return -1;
  char path[256], body[600];
  memset(body, 'x', sizeof body);
  body[sizeof body - 1] = '\0';
  *port = nginx_free_port();
  snprintf(path, sizeof path, "%s/nginx.conf", folder);
  FILE *const file = fopen(path, "w");
  if (file == NULL) abort();
  fprintf(file,
          "daemon off; worker_processes 2; pid %s/pid; error_log %s/error.log;\nevents { worker_connections 1024; }\n"
          "http { access_log off; keepalive_requests 100000000; client_body_temp_path %s/body; proxy_temp_path %s/proxy;\n"
          "fastcgi_temp_path %s/fastcgi; uwsgi_temp_path %s/uwsgi; scgi_temp_path %s/scgi;\n"
          "server { listen 127.0.0.1:%u; location / { default_type application/json; return 200 '%s'; } } }\n",
          folder, folder, folder, folder, folder, folder, folder, *port, body);
  fclose(file);
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    execl("/usr/sbin/nginx", "nginx", "-c", path, "-e", "/dev/null", (char *)NULL);
    _exit(1);
  }
  return child;
}

#endif
