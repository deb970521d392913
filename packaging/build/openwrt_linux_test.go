package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"campagnol/internal/testenv"
	"campagnol/internal/testenv/guide"
)

// procd stands for what OpenWrt's /etc/rc.common and its libraries offer a script: it reads
// a configuration as they do, as far as ours needs it, and writes down what procd is told.
const procd = `
config_load() {
	package=$1
	sections=
	options=
	while read -r word name value; do
		case $word in
		config | option | list) eval "set -- $value" ;; # without its quotes
		esac
		case $word in
		config)
			section=$1
			sections="$sections $name:$section" ;;
		option) options="$options
$section.$name=$1" ;;
		list) options="$options
$section.$name+$1" ;;
		esac
	done <"$CONFIGURATIONS/$package"
}
config_foreach() {
	for pair in $sections; do
		[ "${pair%%:*}" != "$2" ] || "$1" "${pair#*:}"
	done
}
config_get() {
	found=$(echo "$options" | sed -n "s|^$2\.$3=||p")
	eval "$1=\${found:-\$4}"
}
config_get_bool() {
	config_get "$@"
	eval "case \$$1 in 1|on|true|yes|enabled) $1=1 ;; *) $1=0 ;; esac"
}
config_list_foreach() {
	for item in $(echo "$options" | sed -n "s|^$1\.$2+||p"); do
		"$3" "$item"
	done
}
procd_open_instance() { echo "instance $1"; }
procd_set_param() { echo "	$*"; }
procd_append_param() { echo "	$* too"; }
procd_close_instance() { echo end; }
procd_add_reload_trigger() { echo "trigger $1"; }
logger() { echo "logger $*"; }
`

// ash runs a function of OpenWrt's script in the shell that OpenWrt has.
func ash(t *testing.T, configuration, function string) string {
	t.Helper()
	busybox := testenv.Tool(t, "busybox", "busybox")
	init, err := filepath.Abs("../openwrt/campagnol.init")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "campagnol"), []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(busybox, "ash", "-eu", "-c", procd+`. "$1"; "$2"`, "ash", init, function)
	cmd.Env = []string{"CONFIGURATIONS=" + dir, "PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", function, err, out)
	}
	return string(out)
}

// TestOpenWrt: procd is told what the configuration says: each enabled client with its
// file, a server with its options, and nothing that is off or cannot run.
func TestOpenWrt(t *testing.T) {
	example, err := os.ReadFile("../openwrt/campagnol.config")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	home := filepath.Join(dir, "home.conf")
	if err := os.WriteFile(home, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	common := "\treload_signal HUP\n\trespawn 3600 5 0\n\tstdout 1\n\tstderr 1\nend\n"
	client := "instance client-home\n\tcommand /usr/sbin/campagnol " + home + "\n\tfile " + home + "\n" + common
	for _, c := range []struct{ name, configuration, want string }{
		{"as it is installed", string(example), ""},
		{"a client", "config client 'home'\n\toption enabled '1'\n\toption file '" + home + "'\n", client},
		{"one of two", "config client 'home'\n\toption enabled 'yes'\n\toption file '" + home + "'\nconfig client 'x'\n\toption file '" + home + "'\n", client},
		{"without its file", "config client 'main'\n\toption enabled '1'\n\toption file '/none.conf'\n",
			"logger -t campagnol -p daemon.err no client: there is no file /none.conf\n"},
		{"a server", "config server 'rdv'\n\toption enabled '1'\n\tlist option '--authority=/etc/campagnol/CA'\n\tlist option '--relay'\n",
			"instance server-rdv\n\tcommand /usr/sbin/campagnol_rdv\n\tcommand --authority=/etc/campagnol/CA too\n\tcommand --relay too\n" + common},
	} {
		if got := ash(t, c.configuration, "start_service"); got != c.want {
			t.Errorf("%s: procd is told\n%swant\n%s", c.name, got, c.want)
		}
	}
	if got, want := ash(t, "", "service_triggers"), "trigger campagnol\n"; got != want {
		t.Errorf("triggers: %q, want %q", got, want)
	}
}

// buildSystem stands for OpenWrt's build system: the files that the recipe includes, which
// do with its variables what theirs do, for this machine instead of a router.
var buildSystem = map[string]string{
	"Makefile": "package/%/compile:\n\t$(MAKE) -C package/$* TOPDIR=$(CURDIR) compile\n",
	"rules.mk": `INCLUDE_DIR := $(TOPDIR)/include
INSTALL_DIR := install -d -m 0755
INSTALL_BIN := install -m 0755
INSTALL_CONF := install -m 0600
CP := cp -fpR
`,
	"include/package.mk": `PKG_BUILD_DIR := $(TOPDIR)/build_dir/$(PKG_NAME)
PKG_INSTALL_DIR := $(TOPDIR)/build_dir/$(PKG_NAME)-install
define BuildPackage
$(if $(Package/$(1)),,$(error no Package/$(1)))
compile:
	$(Build/Prepare)
	$(Build/Compile)
	$(call Package/$(1)/install,$(TOPDIR)/ipkg/$(1))
endef
`,
	"feeds/packages/lang/golang/golang-package.mk": `GO_ARCH_DEPENDS := @TARGET
GoBinPackage = $(if $(GO_PKG),,$(error no GO_PKG))
define Build/Compile
	mkdir -p $(PKG_INSTALL_DIR)/usr/bin
	cd $(PKG_BUILD_DIR) && CGO_ENABLED=0 go build -trimpath -ldflags='$(GO_PKG_LDFLAGS)' -o $(PKG_INSTALL_DIR)/usr/bin/ $(GO_PKG_BUILD_PKG)
endef
define GoPackage/Package/Install/Bin
	test -d $(1)/usr/bin
endef
`,
}

// TestOpenWrtRecipe copies the recipe into a build tree, as the document says, and has it
// build the package.
func TestOpenWrtRecipe(t *testing.T) {
	mk := testenv.Tool(t, "make", "make")
	g := guide.Open(t, "docs/install.md", "OpenWrt")
	b, _ := treeForTests(t)
	tree := t.TempDir()
	for name, text := range buildSystem {
		path := filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(tree, "package"), 0o755); err != nil {
		t.Fatal(err)
	}
	for c := range g.Commands() {
		cmd := exec.Command("sh", "-c", strings.ReplaceAll(strings.Replace(c.Line, "make ", mk+" ", 1), "TREE", tree))
		cmd.Dir = b.root
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", c.Line, err, out)
		}
	}
	var got []string
	installed := filepath.Join(tree, "ipkg/campagnol")
	err := filepath.WalkDir(installed, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			got = append(got, strings.TrimPrefix(path, installed))
		}
		return err
	})
	if want := []string{"/etc/config/campagnol", "/etc/init.d/campagnol", "/usr/sbin/campagnol", "/usr/sbin/campagnol_rdv"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("it installs %q, %v, want %q", got, err, want)
	}
	if runtime.GOOS == "linux" {
		out, err := exec.Command(filepath.Join(installed, "usr/sbin/campagnol"), "--version").CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), "campagnol ") {
			t.Errorf("what it has built says %q, %v", out, err)
		}
	}
}
