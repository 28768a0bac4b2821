# wsbridge(1) for bash, 3.2 or later. It needs nothing else, and does not mind which characters are in COMP_WORDBREAKS.
# Written by wsbridge --generate complete-bash

# How an endpoint is written, what its place is, the keys of its options, what it does.
_wsbridge_schemes='ws-l:	nothing	handshake-timeout= protocol= ping= half-close= chunk= path= origin= origin-only host= trusted-proxy= accept-first page= dump tee=	Accept WebSockets; without HOST on loopback, with * on all interfaces
ws://	url	handshake-timeout= protocol= ping= half-close= chunk= header= forward-header= user= password-file= bearer= netrc= cookie= origin= user-agent= follow follow-headers include connect-timeout= resolve= connect-to= bind= unix-socket= ipv4 ipv6 proxy= proxy-cacert= no-proxy= cacert= cert= key= pin-sha256= insecure insecure-send-credentials tls-name= tls-min= alpn= keylog= reconnect retries= reconnect-max= dump tee=	Connect to a WebSocket server; without PATH ask for what the caller asks for
wss-l:	nothing	handshake-timeout= protocol= ping= half-close= chunk= path= origin= origin-only host= trusted-proxy= accept-first page= cert= key= self-signed client-ca= client-auth= tls-min= alpn= keylog= dump tee=	Accept WebSockets over TLS; cert=FILE,key=FILE or self-signed
wss://	url	handshake-timeout= protocol= ping= half-close= chunk= header= forward-header= user= password-file= bearer= netrc= cookie= origin= user-agent= follow follow-headers include connect-timeout= resolve= connect-to= bind= unix-socket= ipv4 ipv6 proxy= proxy-cacert= no-proxy= cacert= cert= key= pin-sha256= insecure insecure-send-credentials tls-name= tls-min= alpn= keylog= reconnect retries= reconnect-max= dump tee=	Connect to a WebSocket server over TLS
ws-c:	wrapped-bytes	handshake-timeout= protocol= ping= half-close= chunk= header= forward-header= user= password-file= bearer= netrc= cookie= origin= user-agent= follow follow-headers include uri= dump tee=	Be a WebSocket client over another endpoint; --uri says what to ask for
ws-u:	wrapped-bytes	handshake-timeout= protocol= ping= half-close= chunk= path= origin= origin-only host= trusted-proxy= accept-first page= dump tee=	Be a WebSocket server over another endpoint: - under inetd, a Unix socket
tcp:	host	connect-timeout= resolve= connect-to= bind= unix-socket= ipv4 ipv6 proxy= proxy-cacert= no-proxy= text binary framing= null separator= base64 hex timestamp jsonrpc strict-lines max-message= chunk= dump tee=	Connect to a TCP server; without HOST to localhost
tcp-l:	nothing	text binary framing= null separator= base64 hex timestamp jsonrpc strict-lines max-message= chunk= dump tee=	Accept TCP connections; without HOST on loopback, with * on all interfaces
tls-l:	wrapped-tcp-l	handshake-timeout= cert= key= self-signed client-ca= client-auth= tls-min= alpn= keylog= text binary framing= null separator= base64 hex timestamp jsonrpc strict-lines max-message= chunk= dump tee=	Accept TLS over TCP or over another endpoint that listens
tls:	wrapped-tcp	handshake-timeout= cacert= cert= key= pin-sha256= insecure insecure-send-credentials tls-name= tls-min= alpn= keylog= text binary framing= null separator= base64 hex timestamp jsonrpc strict-lines max-message= chunk= dump tee=	Be a TLS client of a TCP server or over another endpoint
unix:	path	connect-timeout= text binary framing= null separator= base64 hex timestamp jsonrpc strict-lines max-message= chunk= dump tee=	Connect to a Unix stream socket, by path or abstract name
unix-l:	path	mode= text binary framing= null separator= base64 hex timestamp jsonrpc strict-lines max-message= chunk= dump tee=	Accept connections on a Unix stream socket; a stale one is replaced, ours is removed at the end
udp:	host	connect-timeout= text binary dump tee=	Send each message as a UDP datagram of at most 65,507 bytes, and receive
udp-l:	nothing	udp-timeout= text binary dump tee=	Take each sender of UDP datagrams as a caller, until it has been silent for --udp-timeout
unix-dgram:	path	connect-timeout= text binary dump tee=	Send each message to a Unix datagram socket, from an address that answers reach
seqpacket:	path	connect-timeout= text binary dump tee=	Connect to a Unix socket that keeps messages whole; empty ones are kept too
seqpacket-l:	path	mode= text binary dump tee=	Accept connections on a Unix socket that keeps messages whole
-	nothing	text binary framing= null separator= base64 hex timestamp jsonrpc strict-lines max-message= chunk= send= no-interactive no-history dump tee=	Use standard input and output, as lines of text
exec:	program	pty stderr= kill-after= max-children= env-header= env= set-environment allow-remote-exec text binary framing= null separator= base64 hex timestamp jsonrpc strict-lines max-message= chunk= dump tee=	Run a program for each caller, without a shell
sh-c:	raw	pty stderr= kill-after= max-children= env-header= env= set-environment allow-remote-exec text binary framing= null separator= base64 hex timestamp jsonrpc strict-lines max-message= chunk= dump tee=	Run a line of shell for each caller; nothing that a caller says becomes part of it
echo:	nothing	dump tee=	Give back every message, its kind and boundaries kept
hub:	nothing	slow= gap= queue= queue-bytes= replay= room-members= max-message= echo= join id= rooms= rooms-per-ip= dump tee=	Enter a room where all hear what each says; hub:{path} is a room for each path
null:	nothing	dump tee=	Take everything and say nothing, until the other side ends
literal:	raw	text binary framing= null separator= base64 hex timestamp jsonrpc strict-lines max-message= chunk= dump tee=	Say TEXT, as one text message, and end; all of TEXT is taken as it is
literal-base64:	raw	text binary framing= null separator= base64 hex timestamp jsonrpc strict-lines max-message= chunk= dump tee=	Say the bytes that DATA is the base64 of, as one binary message, and end
file:	path	write append follow connect-timeout= text binary framing= null separator= base64 hex timestamp jsonrpc strict-lines max-message= chunk= dump tee=	Read a file as lines of text, then end; or write, append to or follow it
fd:	nothing	text binary framing= null separator= base64 hex timestamp jsonrpc strict-lines max-message= chunk= dump tee=	Use a descriptor that wsbridge was started with, as lines of text, both ways as far as it is open
serial:	path	baud= data-bits= parity= stop-bits= flow-control= text binary framing= null separator= base64 hex timestamp jsonrpc strict-lines max-message= chunk= dump tee=	Use a serial port, for one session at a time
random:	nothing	text binary framing= null separator= base64 hex timestamp jsonrpc strict-lines max-message= chunk= dump tee=	Say random bytes without end, and take everything
zero:	nothing	text binary framing= null separator= base64 hex timestamp jsonrpc strict-lines max-message= chunk= dump tee=	Say zero bytes without end, and take everything
clogged:	nothing	dump tee=	Take nothing and say nothing, as a peer that is stuck
reconnect:	wrapped	retries= reconnect-max= dump tee=	Connect to ENDPOINT again whenever the connection is lost
share:	wrapped	write= lock-time= start= stop= pair pair-time= slow= gap= queue= queue-bytes= replay= room-members= max-message= dump tee=	Open ENDPOINT once for all callers: what it says all of them hear
each:	wrapped	max-message= dump tee=	Open ENDPOINT for each message: it hears that one alone, and what it says is the answer
ws-listen:	=ws-l:
listen-ws:	=ws-l:
l-ws:	=ws-l:
wss-listen:	=wss-l:
listen-wss:	=wss-l:
l-wss:	=wss-l:
c-ws:	=ws-c:
ws-connect:	=ws-c:
connect-ws:	=ws-c:
u-ws:	=ws-u:
ws-upgrade:	=ws-u:
upgrade-ws:	=ws-u:
tcp-connect:	=tcp:
connect-tcp:	=tcp:
tcp-c:	=tcp:
c-tcp:	=tcp:
tcp4:	=tcp:
tcp6:	=tcp:
tcp-listen:	=tcp-l:
listen-tcp:	=tcp-l:
l-tcp:	=tcp-l:
tls-listen:	=tls-l:
ssl-listen:	=tls-l:
openssl-listen:	=tls-l:
ssl:	=tls:
tls-c:	=tls:
tls-connect:	=tls:
ssl-connect:	=tls:
openssl:	=tls:
unix-connect:	=unix:
connect-unix:	=unix:
unix-c:	=unix:
c-unix:	=unix:
abstract:	=unix:
abstract-connect:	=unix:
abstract-c:	=unix:
unix-listen:	=unix-l:
listen-unix:	=unix-l:
l-unix:	=unix-l:
abstract-l:	=unix-l:
abstract-listen:	=unix-l:
l-abstract:	=unix-l:
udp-connect:	=udp:
connect-udp:	=udp:
udp-c:	=udp:
c-udp:	=udp:
udp4:	=udp:
udp6:	=udp:
udp-listen:	=udp-l:
listen-udp:	=udp-l:
l-udp:	=udp-l:
abstract-dgram:	=unix-dgram:
seqpacket-connect:	=seqpacket:
connect-seqpacket:	=seqpacket:
seqpacket-c:	=seqpacket:
c-seqpacket:	=seqpacket:
abstract-seqpacket:	=seqpacket:
seqpacket-listen:	=seqpacket-l:
listen-seqpacket:	=seqpacket-l:
l-seqpacket:	=seqpacket-l:
abstract-seqpacket-l:	=seqpacket-l:
stdio:	=-
inetd:	=-
cmd:	=sh-c:
system:	=sh-c:
mirror:	=echo:
chat:	=hub:
discard:	=null:
readfile:	=file:
writefile:	=file:
appendfile:	=file:
open-fd:	=fd:
autoreconnect:	=reconnect:
reuse:	=share:
reuse-raw:	=share:
broadcast:	=share:
foreachmsg:	=each:'

# An option, its letter, what its value is, what it does.
_wsbridge_options='server	s	any	Serve WebSockets on this port for stdin and stdout: ws-l:PORT -
option	o	side	Set an option of one side: left.path=/chat
explain	-	flag	Say in words what would be done, and do nothing
help	-	flag	Show every option; with -h, one screen
generate	-	words man man-cookbook complete-bash complete-zsh complete-fish	Print a file that is made of the same tables as this help: a manual page, or completions for a shell
quiet	q	flag	Say nothing but errors
verbose	v	flag	Say more; twice or three times for even more
log-format	-	words text json	How messages are written
linger	-	any	Wait this long for answers after an end (default: 1s with stdin, else 10s, or 2s)
close-timeout	-	any	Wait this long for the answer to our Close
deliver-timeout	-	any	Wait this long for a side that takes nothing after the other has finished; 0 waits for ever
stall	-	any	End a session in which a side takes nothing of what there is for it for this time
no-close	n	flag	Do not close the WebSocket at the end of a caller'\''s input
idle	-	any	End a session in which nothing has moved for this time
max-time	-	any	End a session after this time, connecting included
drain	-	any	Give sessions this long to end after a signal (default: 1s with stdin, else 8s)
exit-status	-	words session command peer	Whose end the exit status tells
unidirectional	u	flag	Copy from left to right only
unidirectional-reverse	U	flag	Copy from right to left only
one-message	1	flag	Copy one message in each direction, then end
max-messages	-	any	Copy this many messages in each direction, then end
memory	-	any	Hold at most this much of what sessions collect and queue (default: a quarter of the memory there is, 32M to 256M)
progress	-	flag	Show on a terminal how much has passed, and how fast
threads	-	any	Run sessions on this many threads (default: one for each processor)
max-handshakes	-	any	Keep this many unfinished handshakes, at most a quarter of the open files allowed
max-per-ip	-	any	Allow each address this many connections, sessions and handshakes together
handshake-timeout	-	any	Give up on an opening handshake after this time
half-close	-	words auto no	Whether to carry half-closes to another wsbridge: auto or no
origin	-	any	Let pages of this origin connect (repeatable; * is any), or as a client connect as one of them
origin-only	-	flag	Let no pages connect but those of --origin, not even those of this server or of this machine
host	-	any	Answer for this host name (repeatable; * is any)
trusted-proxy	-	any	Take the word of these proxies for what they were asked for, and by whom
accept-first	-	flag	Accept a caller before the target has been reached
page	-	file chat none	What a browser gets that opens the address as a page (default: chat in front of hub:, else none)
dump	-	flag	Show on stderr what passes: direction, time, bytes, and how it ended
tee	-	file	Append what passes to FILE too, as it would be printed
header	H	any	Send this header with the request (repeatable)
forward-header	-	any	Send this header of the caller on with the request (repeatable)
password-file	-	file	Read the password from the first line of this file
bearer	-	any	Log in with this token, or with that in the first line of @FILE
netrc	-	optional file	Take user and password for the host from this file
cookie	-	any	Send these cookies (repeatable)
user-agent	-	any	Call ourselves so
follow	-	flag	Go where redirects lead, at most 10 times; of a file, read on as it grows
follow-headers	-	flag	Send the headers of -H and --forward-header to another host too, where a redirect leads there
include	i	flag	Show the head of the answer on stderr
connect-timeout	-	any	Give up connecting after this time
resolve	-	any	Use this address instead of looking HOST up (repeatable)
connect-to	-	any	Connect to HOST2:PORT2 where HOST1:PORT1 is wanted (repeatable)
bind	-	any	Connect from this address of our own
unix-socket	-	file	Connect to this Unix socket instead, without a proxy; @NAME is abstract
ipv4	4	flag	Use IPv4 only
ipv6	6	flag	Use IPv6 only
proxy	-	any	Connect through this proxy: http, https, socks5 or socks5h
proxy-cacert	-	file	Trust these and what they issued instead of whom the system trusts, of a proxy
no-proxy	-	optional any	Use no proxy, or none for these hosts
cacert	-	file	Trust these and what they issued instead of whom the system trusts
cert	-	file	Show this certificate, in PEM, with its chain
key	-	file	The key of --cert, where it is not in the same file
pin-sha256	-	any	Trust a server by its public key (repeatable)
insecure	k	flag	Trust any server: whoever stands between can read and change all
insecure-send-credentials	-	flag	Tell even a server that is not known who we are
tls-min	-	words 1.2 1.3	Speak no older version of TLS
alpn	-	any	Offer these application protocols, best first
keylog	-	file	Append the keys of sessions to this file: who reads it reads them
reconnect	-	flag	Connect again whenever the connection is lost
retries	-	any	Connect again at most so often in a row (default: no limit)
reconnect-max	-	any	Wait at most this long between two attempts
self-signed	-	flag	Make a certificate for localhost, to try things out; its pin is printed
client-ca	-	file	Let in who has a certificate that these issued, or one of these
client-auth	-	words required optional	Whether callers must have one; without it they must
text	t	flag	Send lines of text as text messages
binary	b	flag	Send bytes as they come, as binary messages
framing	-	words chunks lines null length lsp json	Cut bytes into messages: chunks, lines, null, length, lsp or json
separator	-	any	End each message with this text instead of a newline
base64	-	flag	Write binary messages as lines of base64; with -b, read such lines
hex	-	flag	Write binary messages as lines of hex digits; with -b, read such lines
timestamp	-	flag	Write the time before each message that is written as a line
jsonrpc	-	flag	Make JSON-RPC 2.0 requests of lines: a method and its parameters
strict-lines	-	flag	Refuse a message that has the end of a line in it, where messages become lines
max-message	-	any	Take no message over this many bytes where one must be whole to be framed
mode	-	any	Permissions of the socket, in octal (default: 600)
udp-timeout	-	any	End the session of a UDP sender when nothing has gone either way for this time
send	-	any	Send this message on connect, and do not read stdin; @FILE sends a file
no-interactive	-	flag	Read plain lines from a terminal, without a prompt
no-history	-	flag	Keep no history of what is typed at the prompt
pty	-	flag	Give each program a terminal of its own
stderr	-	words inherit null log merge json	What becomes of a program'\''s stderr (default: inherit with stdin, else log)
kill-after	-	any	Give a program this time to end by itself, and again after TERM
max-children	-	any	Run this many programs at a time; a further caller gets HTTP 503
env	-	any	Give programs this variable too: NAME from our environment, or NAME=VALUE
set-environment	e	flag	Name the caller and its URI in WEBSOCAT_CLIENT and WEBSOCAT_URI too, as websocat does
allow-remote-exec	-	flag	Let callers from other machines start programs
slow	-	words disconnect drop-oldest drop-newest block latest	What becomes of a member that does not keep up with a room
gap	-	words notice close	What a member that lost messages is told
queue-bytes	-	any	Bytes that wait for one member at most; a single message may be longer
replay	-	any	Let newcomers hear the last N messages first, or with K or M so many bytes
room-members	-	any	Members of one room at most
echo	-	words yes no	Whether a member hears what it says itself
join	-	flag	Say who comes and who goes
id	-	words prefix json	Say who says it: as a prefix of text, or in an object of JSON
rooms	-	any	Rooms at most
rooms-per-ip	-	any	Rooms at most that callers of one address hold alone
write	-	flag	Write what comes to the file, which is made or emptied
append	-	flag	Write what comes behind the end of the file, which is made where there is none
baud	-	any	Bits per second of a serial line
data-bits	-	any	Bits of a character on a serial line
parity	-	words none even odd	The parity bit of a character on a serial line
stop-bits	-	any	Stop bits of a character on a serial line
flow-control	-	words none xonxoff rtscts	How a serial line says that it can take no more
lock-time	-	any	Who writes loses the lock after this silence
start	-	words first now	When what is shared is opened
stop	-	any	When what is shared is ended: last, never, or a time after the last caller left
pair	-	flag	Give each answer to the caller who asked
pair-time	-	any	Wait this long for an answer
user	-	any	Log in with this user and password (HTTP Basic)
once	-	flag	Serve one caller, then end with its exit status
uri	-	any	Ask for this host and path over ws-c:
path	-	any	Upgrade this path only; others get 404
tls-name	-	any	Ask for this name instead of the host, and want a certificate for it
env-header	-	any	Give programs this header of the request, as WSBRIDGE_HTTP_NAME
max-connections	-	any	Serve this many callers at a time (default: 4096, or what the limit of open files allows)
null	0	flag	End each message with NUL: --framing null
ping	-	any	Send a ping after this much silence; 0 sends none
protocol	-	any	Offer these subprotocols, or as a server choose among them; best first
queue	-	any	Messages that wait for one member at most
chunk	B	any	Send bytes as messages of at most this size, and a longer message in fragments (default: 32K, or that of the other side)
version	V	flag	Print version
write	=	words all first lock none	Who of those who share an endpoint may write to it'

_wsbridge_topics='addresses	how an endpoint is written, and all that there are
framing	lines and bytes, text and binary
endings	how streams end, and what becomes of it on the other side
half-close	answers after the end of input, and between two bridges
exit-status	what each number means
signals	stop, reload, list the sessions; and the log
security	who may connect, programs, secrets, limits
tls	certificates and whom to trust
hubs	rooms that many callers share
from-websocat	its command lines, and what is different
from-websockify	the same
from-websocketd	the same
from-socat	the same, and from netcat and wscat
examples	command lines to begin with
cookbook	whole uses, each with its command lines'

# The words of a line as the shell will see them: done ones in `words`, the last one in `word` and as it was typed in `typed`,
# with the quote that is still open in `open`.
_wsbridge_split() {
    local line=$1 character at begun=
    words=() word= typed= open=
    for ((at = 0; at < ${#line}; at++)); do
        character=${line:at:1}
        if [[ $open ]]; then
            if [[ $character == "$open" ]]; then
                open=
            elif [[ $open == '"' && $character == \\ ]]; then
                typed+=$character
                ((++at))
                character=${line:at:1}
                word+=$character
            else
                word+=$character
            fi
        elif [[ $character == [[:space:]] ]]; then
            [[ $begun ]] && words+=("$word")
            word= typed= begun=
            continue
        elif [[ $character == [\'\"] ]]; then
            open=$character
        elif [[ $character == \\ ]]; then
            typed+=$character
            ((++at))
            character=${line:at:1}
            word+=$character
        else
            word+=$character
        fi
        typed+=$character begun=1
    done
}

# Offers a whole word, if it goes on from what was typed; the rest is what follows it, a blank where it is finished.
_wsbridge_add() {
    local text=$1 after=${2-} at character escaped=
    [[ $text == "$word"* ]] || return 0
    text=${text:_wsbridge_kept}
    if [[ $open ]]; then
        # readline closes the quote first.
        [[ $after == ' ' ]] && after= && compopt +o nospace 2>/dev/null
        COMPREPLY+=("$text$after")
        return
    fi
    if [[ $text == *[[:space:]\'\"\\\$\`\!\&\;\|\<\>\(\)\*\?\[\]\{\}]* ]]; then
        for ((at = 0; at < ${#text}; at++)); do
            character=${text:at:1}
            [[ $character == [[:space:]\'\"\\\$\`\!\&\;\|\<\>\(\)\*\?\[\]\{\}] ]] && escaped+=\\
            escaped+=$character
        done
        text=$escaped
    fi
    COMPREPLY+=("$text$after")
}

# _wsbridge_files PREFIX PATH
_wsbridge_files() {
    local full file real=$2
    [[ $2 == '~/'* ]] && real=$HOME/${2:2}
    while IFS= read -r full; do
        [[ -e $full || -L $full ]] || continue
        file=$1$2${full:${#real}}
        if [[ -d $full ]]; then _wsbridge_add "$file" /; else _wsbridge_add "$file" ' '; fi
    done <<<"$(set +f; shopt -u failglob; printf '%s\n' "$real"*)"
}

# _wsbridge_hosts PREFIX AFTER: those of /etc/hosts and of known_hosts that are not hashed.
_wsbridge_hosts() {
    local first rest name names=()
    if [[ -r ~/.ssh/known_hosts ]]; then
        while read -r first rest; do
            case $first in
                '@'* | '#'* | '|'* | '') continue ;;
            esac
            IFS=, read -ra rest <<<"$first"
            names+=("${rest[@]}")
        done <~/.ssh/known_hosts
    fi
    if [[ -r /etc/hosts ]]; then
        while read -r first rest; do
            [[ $first == '#'* ]] && continue
            for name in ${rest%%#*}; do names+=("$name"); done
        done </etc/hosts
    fi
    for name in ${names[@]+"${names[@]}"}; do
        if [[ $name == '['*']:'* ]]; then
            name=${name#\[}
            name=${name%%\]*}
        fi
        [[ $name == *[:*?!]* ]] || _wsbridge_add "$1$name" "$2"
    done
}

# Looks a scheme up by its name: `place` and `keys`, or failure.
_wsbridge_scheme() {
    local text name=$1
    while IFS=$'\t' read -r text place keys _; do
        if [[ $text == "$name:" || $text == "$name://" || $text == "$name" ]]; then
            if [[ $place == =* ]]; then
                name=${place#=}
                name=${name%%:*}
                _wsbridge_scheme "$name"
            fi
            return
        fi
    done <<<"$_wsbridge_schemes"
    return 1
}

# What the value of an option is, as a flag or, with = behind its name, as a key.
_wsbridge_kind() {
    local long
    while IFS=$'\t' read -r long short kind _; do
        [[ $1 == "--$long" || $1 == -? && $1 == "-$short" ]] && return
        [[ $1 == "--$long=" && $kind != flag ]] && return
    done <<<"$_wsbridge_options"
    kind=
    return 1
}

# _wsbridge_value PREFIX KIND TEXT AFTER: the value of an option.
_wsbridge_value() {
    local value
    case $2 in
        *file) _wsbridge_files "$1" "$3" ;;
        file*)
            for value in ${2#file}; do _wsbridge_add "$1$value" "$4"; done
            _wsbridge_files "$1" "$3"
            ;;
        words*) for value in ${2#words}; do _wsbridge_add "$1$value" "$4"; done ;;
        side) _wsbridge_side "$3" ;;
    esac
}

# _wsbridge_keys PREFIX TEXT KEYS: an option behind a comma, a # or a dot.
_wsbridge_keys() {
    local key kind short
    if [[ $2 == *=* ]]; then
        _wsbridge_kind "--${2%%=*}=" && _wsbridge_value "$1${2%%=*}=" "$kind" "${2#*=}" ''
    else
        for key in $3; do _wsbridge_add "$1$key"; done
    fi
}

# The keys of all layers of an address in `layers`, of every endpoint where it has none.
_wsbridge_layers() {
    local rest=$1 place keys
    layers=
    while [[ $rest == *:* ]] && _wsbridge_scheme "${rest%%:*}"; do
        layers+=" $keys"
        rest=${rest#*:}
        case $place in
            wrapped) ;;
            wrapped-*) _wsbridge_is_endpoint "$rest" || rest=${place#wrapped-}: ;;
            *) return ;;
        esac
    done
    [[ $rest == - ]] && _wsbridge_scheme - && layers+=" $keys"
    if [[ ! $layers ]]; then
        while IFS=$'\t' read -r _ place keys _; do
            [[ $place == =* ]] || layers+=" $keys"
        done <<<"$_wsbridge_schemes"
    fi
}

_wsbridge_is_endpoint() {
    local place keys
    [[ $1 == - || $1 == *:* ]] && _wsbridge_scheme "${1%%:*}"
}

# The value of --option: left.KEY=VALUE.
_wsbridge_side() {
    local layers address=
    case $1 in
        left.*) address=${places[0]-} ;;
        right.*) address=${places[1]-} ;;
        *)
            _wsbridge_add left.
            _wsbridge_add right.
            return
            ;;
    esac
    _wsbridge_layers "$address"
    _wsbridge_keys "${1%%.*}." "${1#*.}" "$layers"
}

# Where the last comma stands that is none of the place itself: the text up to it in `before`.
_wsbridge_comma() {
    local text=$1
    while [[ $text == *,* ]]; do
        before=${text%,*},
        [[ $before == *\\, ]] || return 0
        text=${text%,*}
    done
    return 1
}

# An address: layers of wrappers, then a core, then options.
_wsbridge_address() {
    local stem= rest=$1 text place=wrapped keys meant= layers before
    while [[ $place == wrapped* ]]; do
        meant=${place#wrapped}
        if [[ $rest == *:* ]] && _wsbridge_scheme "${rest%%:*}"; then
            stem+=${rest%%:*}:
            rest=${rest#*:}
        elif [[ $rest != *[:,]* ]]; then
            while IFS=$'\t' read -r text place keys _; do
                # Bytes are what has a framing.
                [[ ! $meant || " $keys " == *' framing= '* ]] || continue
                [[ $text == - ]] && _wsbridge_add "$stem-" ' '
                [[ $text == - || $place == =* ]] || _wsbridge_add "$stem$text"
            done <<<"$_wsbridge_schemes"
            [[ $meant == -tcp ]] && _wsbridge_hosts "$stem" :
            return
        elif [[ $meant == -tcp* ]]; then
            place=nothing
            [[ $meant == -tcp ]] && place=host
        else
            return
        fi
    done
    _wsbridge_layers "$1"
    case $place in
        raw) return ;;
        program)
            while IFS= read -r text; do
                [[ $text ]] && _wsbridge_add "$stem$text" ' '
            done <<<"$(compgen -c -- "$rest")"
            return
            ;;
    esac
    if [[ $rest == //* ]]; then
        if [[ $rest == *'#'* ]]; then
            text=${rest#*#}
            before=${rest%%#*}#
            [[ $text == *,* ]] && before+=${text%,*},
            _wsbridge_keys "$stem$before" "${text##*,}" "$layers"
        elif [[ ${rest:2} != *[/:?@]* ]]; then
            text=
            [[ $place == url ]] || text=:
            _wsbridge_hosts "$stem//" "$text"
        fi
    elif [[ $place == url ]]; then
        _wsbridge_add "$stem//"
    elif _wsbridge_comma "$rest"; then
        _wsbridge_keys "$stem$before" "${rest:${#before}}" "$layers"
    elif [[ $place == path ]]; then
        _wsbridge_files "$stem" "$rest"
    elif [[ $place == host && $rest != *:* ]]; then
        _wsbridge_hosts "$stem" :
    fi
}

# What stands behind -- is completed as the shell does it for that command.
_wsbridge_program() {
    local at=1 spec function option
    while [[ ${COMP_WORDS[at]} != -- ]]; do ((at++)); done
    ((at++))
    compopt +o nospace 2>/dev/null
    if ((COMP_CWORD == at)); then
        compopt -o filenames 2>/dev/null
        while IFS= read -r spec; do [[ $spec ]] && COMPREPLY+=("$spec"); done <<<"$(compgen -c -- "$1")"
        return
    fi
    local line=${COMP_LINE#*[[:space:]]--[[:space:]]}
    while [[ $line == [[:space:]]* ]]; do line=${line#?}; done
    COMP_POINT=$((COMP_POINT - ${#COMP_LINE} + ${#line}))
    COMP_LINE=$line
    COMP_WORDS=("${COMP_WORDS[@]:at}")
    COMP_CWORD=$((COMP_CWORD - at))
    local command=${COMP_WORDS[0]}
    spec=$(complete -p -- "$command" 2>/dev/null || complete -p -- "${command##*/}" 2>/dev/null)
    if [[ ! $spec ]] && [[ $(complete -p -D 2>/dev/null) =~ \ -F\ ([^ ]+) ]]; then
        "${BASH_REMATCH[1]}" "$command" "$1" "${COMP_WORDS[COMP_CWORD - 1]}"
        spec=$(complete -p -- "$command" 2>/dev/null || complete -p -- "${command##*/}" 2>/dev/null)
        [[ $spec ]] || return
    fi
    for option in bashdefault default dirnames filenames noquote nosort nospace plusdirs; do
        [[ $spec == *" -o $option "* ]] && compopt -o "$option" 2>/dev/null
    done
    if [[ $spec =~ \ -F\ ([^ ]+) ]]; then
        "${BASH_REMATCH[1]}" "$command" "$1" "${COMP_WORDS[COMP_CWORD - 1]}"
    elif [[ $spec ]]; then
        spec=${spec#complete }
        while IFS= read -r line; do
            [[ $line ]] && COMPREPLY+=("$line")
        done <<<"$(eval "compgen ${spec% *} -- \"\$1\"" 2>/dev/null)"
    else
        compopt -o bashdefault -o default 2>/dev/null
    fi
}

_wsbridge() {
    local words word typed open places=() at flag= kind= short done text
    local IFS=$' \t\n'
    COMPREPLY=()
    _wsbridge_split "${COMP_LINE:0:COMP_POINT}"
    for ((at = 1; at < ${#words[@]}; at++)); do
        text=${words[at]}
        if [[ $flag ]]; then
            flag=
        elif [[ $text == -- ]]; then
            _wsbridge_program "$2"
            return
        elif [[ $text == --*=* ]]; then
            :
        elif [[ $text == -?* ]]; then
            _wsbridge_kind "$text"
            case $kind in
                any | file* | side | words*) flag=$text ;;
            esac
        else
            places+=("$text")
        fi
    done

    # Of the word that is typed readline replaces only $2, what stands behind the last of COMP_WORDBREAKS.
    local _wsbridge_kept=0 last=$word still=$open all=$typed
    if [[ $all == *"$2" && $all != "$2" ]]; then
        _wsbridge_split "${all:0:${#all}-${#2}}"
        _wsbridge_kept=${#word}
    fi
    word=$last open=$still

    if [[ $flag ]]; then
        _wsbridge_kind "$flag"
        _wsbridge_value '' "$kind" "$word" ' '
    elif [[ $word == --*=* ]]; then
        flag=${word%%=*}
        _wsbridge_kind "$flag" && _wsbridge_value "$flag=" "${kind#optional }" "${word#*=}" ' '
    elif [[ $word == -* ]]; then
        [[ $word == - ]] && _wsbridge_add - ' '
        while IFS=$'\t' read -r text short _; do
            [[ $short == = ]] || _wsbridge_add "--$text" ' '
        done <<<"$_wsbridge_options"
        _wsbridge_add -- ' '
    elif [[ ${places[0]-} == help ]]; then
        if ((${#places[@]} == 1)); then
            while IFS=$'\t' read -r text _; do _wsbridge_add "$text" ' '; done <<<"$_wsbridge_topics"
        fi
    elif [[ ${places[0]-} == doctor ]] || ((${#places[@]} < 2)); then
        if ((${#places[@]} == 0)); then
            _wsbridge_add help ' '
            _wsbridge_add doctor ' '
        fi
        _wsbridge_address "$word"
    fi
}

complete -o nospace -F _wsbridge wsbridge
