/*
 * Tells libvirtd of a lab host that /srv/ostler/shared is shared between hosts, which in a lab it is.
 *
 * libvirt decides by the file system's type whether disks of a live migration are on shared storage; to it the
 * bind mount of one directory looks like a local disk, and it refuses the migration. (libvirt 10.10 and later have
 * the setting shared_filesystems for this.) QEMU and other children of libvirtd do not see this library.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

static const char shared[] = "/srv/ostler/shared";
static const long nfs = 0x6969;

__attribute__((constructor)) static void hide_from_children(void) { unsetenv("LD_PRELOAD"); }

int statfs64(const char *path, struct statfs64 *result)
{
    int (*real)(const char *, struct statfs64 *) = dlsym(RTLD_NEXT, "statfs64");
    int status = real(path, result);
    size_t length = sizeof shared - 1;

    if (status == 0 && strncmp(path, shared, length) == 0 && (path[length] == '/' || path[length] == '\0'))
        result->f_type = nfs;
    return status;
}
