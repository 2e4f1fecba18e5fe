/*
 * Tells libvirtd of a lab host that what lies in /srv/ostler/shared is shared between hosts, which in a lab it is,
 * also where an agent has mounted that directory elsewhere.
 *
 * libvirt decides by the file system's type whether disks of a live migration are on shared storage; to it the
 * bind mount of one directory looks like a local disk, and it refuses the migration. (libvirt 10.10 and later have
 * the setting shared_filesystems for this.) QEMU and other children of libvirtd do not see this library.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

static const char shared[] = "/srv/ostler/shared";
static const long nfs = 0x6969;

__attribute__((constructor)) static void hide_from_children(void) { unsetenv("LD_PRELOAD"); }

/* Whether path or a directory above it is the shared directory, by device and inode. */
static int is_shared(const char *path)
{
    char above[PATH_MAX];
    struct stat wanted, found;

    if (path[0] != '/' || strlen(path) >= sizeof above || stat(shared, &wanted) != 0)
        return 0;
    strcpy(above, path);
    for (;;) {
        char *slash;

        if (stat(above, &found) == 0 && found.st_dev == wanted.st_dev && found.st_ino == wanted.st_ino)
            return 1;
        slash = strrchr(above, '/');
        if (slash == above)
            return 0;
        *slash = '\0';
    }
}

int statfs64(const char *path, struct statfs64 *result)
{
    int (*real)(const char *, struct statfs64 *) = dlsym(RTLD_NEXT, "statfs64");
    int status = real(path, result);

    if (status == 0 && is_shared(path))
        result->f_type = nfs;
    return status;
}
