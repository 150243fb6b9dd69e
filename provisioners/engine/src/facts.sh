# What is true of this host, as lines KEY=VALUE; a key may come several times. Changes nothing. Any POSIX shell.
has() { command -v "$1" >/dev/null 2>&1; }
# fact KEY: one line for each line of standard input.
fact() { while IFS= read -r line || [ -n "$line" ]; do printf '%s=%s\n' "$1" "$line"; done; }
say() { printf '%s=%s\n' "$1" "$2"; }

say facts 1
for file in /etc/os-release /usr/lib/os-release; do
    [ -r "$file" ] && { fact os_release <"$file"; break; }
done
say arch "$(uname -m)"
say kernel "$(uname -r)"
say epoch "$(date -u +%s)"
say user "$(id -un)"
say uid "$(id -u)"
say groups "$(id -Gn)"

if [ -d /run/systemd/system ]; then say init systemd
elif has rc-service; then say init openrc
else say init other; fi

# What sudo says when it may not: the first line tells the cases apart.
root() { false; }
if [ "$(id -u)" = 0 ]; then
    say sudo root
    root() { "$@"; }
elif ! has sudo; then
    say sudo missing
else
    says=$(sudo -n true 2>&1 </dev/null) && { say sudo yes; root() { sudo -n "$@" </dev/null; }; } || {
        say sudo no
        printf '%s\n' "$says" | fact sudo_says
    }
fi

for name in apt-get dnf yum zypper apk pacman rpm-ostree transactional-update; do has "$name" && say manager "$name"; done

# Whether the root file system and those that packages go to can be written.
while read -r _ mount _ options _; do
    case $mount in
        / | /usr | /etc | /var)
            case ",$options," in *,ro,*) say read_only "$mount" ;; esac ;;
    esac
done </proc/mounts
for place in /usr /var/lib; do
    df -Pk "$place" 2>/dev/null | awk -v place="$place" 'NR == 2 { print "free_kib=" place " " $4 }'
done
[ -e /sys/fs/cgroup/cgroup.controllers ] && say cgroup 2 || say cgroup 1
[ -r /sys/fs/selinux/enforce ] && say selinux "$(cat /sys/fs/selinux/enforce)"

if has firewall-cmd && [ "$(root firewall-cmd --state 2>/dev/null)" = running ]; then say firewall firewalld
elif has ufw && grep -qi '^ENABLED=yes' /etc/ufw/ufw.conf 2>/dev/null; then say firewall ufw; fi

# The MTU of the interface that leads out (the first route to 0.0.0.0).
interface=$(awk '$2 == "00000000" { print $1; exit }' /proc/net/route 2>/dev/null)
[ -n "$interface" ] && [ -r "/sys/class/net/$interface/mtu" ] && say mtu "$(cat "/sys/class/net/$interface/mtu")"

for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
    eval "value=\${$name:-}"
    [ -n "$value" ] && say proxy "$name=$value"
done

# The program is slow to ask; it leaves this file when it is done, and where that tells of no errors all is said.
if grep -qs '"errors": \[\]' /run/cloud-init/result.json; then say cloud_init "done"
elif has cloud-init; then
    say cloud_init "$(cloud-init status 2>/dev/null | sed -n 's/^status: *//p')"
fi

if has dockerd; then
    say dockerd "$(command -v dockerd)"
    say engine_version "$(dockerd --version 2>/dev/null | sed -n 's/^Docker version \([^, ]*\).*/\1/p')"
    path=$(readlink -f "$(command -v dockerd)")
    if has dpkg-query; then say engine_package "$(dpkg-query -S "$path" 2>/dev/null | sed -n '1s/:.*//p')"
    elif has rpm; then say engine_package "$(rpm -qf --qf '%{NAME}' "$path" 2>/dev/null)"; fi
fi
docker=$(docker --version 2>/dev/null)
case $docker in *[Pp]odman*) say podman 1 ;; esac
if [ -d /run/systemd/system ]; then
    systemctl show -p ExecStart docker.service 2>/dev/null | sed -n 's/^ExecStart=\(.*\)/\1/p' | fact exec_start
    systemctl cat docker.socket >/dev/null 2>&1 && say docker_socket 1
    systemctl is-active --quiet docker.service && say engine_runs 1
fi
getent group docker 2>/dev/null | fact docker_group
case $docker in
    Docker*) [ "$(root docker info --format '{{.Swarm.LocalNodeState}}' 2>/dev/null)" = active ] && say swarm 1 ;;
esac
for pair in daemon_json:/etc/docker/daemon.json ours:/etc/docker/machine.json; do
    file=${pair#*:}
    if [ -e "$file" ] || root test -e "$file"; then
        { cat "$file" 2>/dev/null || root cat "$file" 2>/dev/null; } | fact "${pair%%:*}"
    fi
done
say end 1
# end of script
