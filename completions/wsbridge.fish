complete -c wsbridge -s s -l server -d 'Serve WebSockets on this port for stdin and stdout: ws-l:PORT -' -r
complete -c wsbridge -s o -l option -d 'Set an option of one side: left.path=/chat' -r
complete -c wsbridge -l log-format -d 'How messages are written' -r -f -a "text\t'Lines for people'
json\t'A JSON object a line'"
complete -c wsbridge -l linger -d 'Wait this long for answers after an end (1s with stdin, else 2s)' -r
complete -c wsbridge -l close-timeout -d 'Wait this long for the answer to our Close' -r
complete -c wsbridge -l idle -d 'End a session in which nothing has moved for this time' -r
complete -c wsbridge -l max-time -d 'End a session after this time, connecting included' -r
complete -c wsbridge -l drain -d 'Give sessions this long to end after a signal' -r
complete -c wsbridge -l exit-status -d 'Whose end the exit status tells' -r -f -a "session\t'The session\'s, by the table of exit statuses'
command\t'The program\'s'
peer\t'The peer\'s: what its close code says'"
complete -c wsbridge -l max-messages -d 'Copy this many messages in each direction, then end' -r
complete -c wsbridge -l threads -d 'Run sessions on this many threads (one for each processor)' -r
complete -c wsbridge -l max-handshakes -d 'Keep this many unfinished handshakes; the oldest gives way' -r
complete -c wsbridge -l handshake-timeout -d 'Give up on an opening handshake after this time' -r
complete -c wsbridge -l origin -d 'Let pages of this origin connect (repeatable; * is any), or as a client connect as one of them' -r
complete -c wsbridge -l host -d 'Answer for this host name (repeatable)' -r
complete -c wsbridge -l page -d 'What a browser gets that opens the address as a page (chat in front of hub:, else none)' -r -f -a "chat\t'A chat'
none\t'None: a WebSocket and nothing else'"
complete -c wsbridge -l tee -d 'Append what passes to FILE too, as it would be printed' -r -F
complete -c wsbridge -s H -l header -d 'Send this header with the request (repeatable)' -r
complete -c wsbridge -l forward-header -d 'Send this header of the caller on with the request (repeatable)' -r
complete -c wsbridge -l password-file -d 'Read the password from the first line of this file' -r -F
complete -c wsbridge -l bearer -d 'Log in with this token, or with that in the first line of @FILE' -r
complete -c wsbridge -l netrc -d 'Take user and password for the host from this file' -r
complete -c wsbridge -l cookie -d 'Send these cookies (repeatable)' -r
complete -c wsbridge -l user-agent -d 'Call ourselves so' -r
complete -c wsbridge -l connect-timeout -d 'Give up connecting after this time' -r
complete -c wsbridge -l resolve -d 'Use this address instead of looking HOST up (repeatable)' -r
complete -c wsbridge -l connect-to -d 'Connect to HOST2:PORT2 where HOST1:PORT1 is wanted (repeatable)' -r
complete -c wsbridge -l bind -d 'Connect from this address of our own' -r
complete -c wsbridge -l unix-socket -d 'Connect to this Unix socket instead, without a proxy; @NAME is abstract' -r
complete -c wsbridge -l proxy -d 'Connect through this proxy: http, https, socks5 or socks5h' -r
complete -c wsbridge -l proxy-cacert -d 'Trust what these issued instead of whom the system trusts, of a proxy' -r -F
complete -c wsbridge -l no-proxy -d 'Use no proxy, or none for these hosts' -r
complete -c wsbridge -l cacert -d 'Trust what these issued instead of whom the system trusts' -r -F
complete -c wsbridge -l cert -d 'Show this certificate, in PEM, with its chain' -r -F
complete -c wsbridge -l key -d 'The key of --cert, where it is not in the same file' -r -F
complete -c wsbridge -l pin-sha256 -d 'Trust a server by its public key (repeatable)' -r
complete -c wsbridge -l tls-min -d 'Speak no older version of TLS' -r -f -a "1.2\t'RFC 5246'
1.3\t'RFC 8446'"
complete -c wsbridge -l alpn -d 'Offer these application protocols, best first' -r
complete -c wsbridge -l keylog -d 'Append the keys of sessions to this file: who reads it reads them' -r -F
complete -c wsbridge -l retries -d 'Connect again at most so often in a row (no limit)' -r
complete -c wsbridge -l reconnect-max -d 'Wait at most this long between two attempts' -r
complete -c wsbridge -l client-ca -d 'Let in who has a certificate that these issued' -r -F
complete -c wsbridge -l client-auth -d 'Whether callers must have one; without it they must' -r -f -a "required\t'Who has none is refused'
optional\t'Who has none is let in; who has a wrong one is not'"
complete -c wsbridge -l framing -d 'Cut bytes into messages: chunks, lines, null, length, lsp or json' -r
complete -c wsbridge -l separator -d 'End each message with this text instead of a newline' -r
complete -c wsbridge -l max-message -d 'Take no message over this many bytes where one must be whole to be framed' -r
complete -c wsbridge -l mode -d 'Permissions of the socket, in octal' -r
complete -c wsbridge -l udp-timeout -d 'End the session of a UDP sender when nothing has gone either way for this time' -r
complete -c wsbridge -l send -d 'Send this message on connect, and do not read stdin; @FILE sends a file' -r
complete -c wsbridge -l stderr -d 'What becomes of a program\'s stderr (inherit with stdin, else log)' -r -f -a "inherit\t'It is ours'
null\t'Nobody reads it'
log\t'Its lines are logged'
merge\t'It goes where stdout goes'"
complete -c wsbridge -l kill-after -d 'Give a program this time to end by itself, and again after TERM' -r
complete -c wsbridge -l max-children -d 'Run this many programs at a time; a further caller gets HTTP 503' -r
complete -c wsbridge -l env -d 'Give programs this variable too: NAME from our environment, or NAME=VALUE' -r
complete -c wsbridge -l slow -d 'What becomes of a member that does not keep up with a room' -r -f -a "disconnect\t'It is closed'
drop-oldest\t'It loses what has waited longest'
drop-newest\t'It loses what comes'
block\t'All wait for it'
latest\t'It loses all but the newest'"
complete -c wsbridge -l gap -d 'What a member that lost messages is told' -r -f -a "notice\t'How many, in their place'
close\t'It is closed in their place'"
complete -c wsbridge -l queue-bytes -d 'Bytes that wait for one member at most; a single message may be longer' -r
complete -c wsbridge -l replay -d 'Let newcomers hear the last N messages first, or with K or M so many bytes' -r
complete -c wsbridge -l room-members -d 'Members of one room at most' -r
complete -c wsbridge -l echo -d 'Whether a member hears what it says itself' -r -f -a "yes\t'It is so'
no\t'It is not'"
complete -c wsbridge -l id -d 'Say who says it: as a prefix of text, or in an object of JSON' -r -f -a "prefix\t'Before a text'
json\t'In an object of JSON'"
complete -c wsbridge -l rooms -d 'Rooms at most' -r
complete -c wsbridge -l baud -d 'Bits per second of a serial line' -r
complete -c wsbridge -l data-bits -d 'Bits of a character on a serial line' -r
complete -c wsbridge -l parity -d 'The parity bit of a character on a serial line' -r -f -a "none\t'There is none'
even\t'It makes the ones even'
odd\t'It makes the ones odd'"
complete -c wsbridge -l stop-bits -d 'Stop bits of a character on a serial line' -r
complete -c wsbridge -l flow-control -d 'How a serial line says that it can take no more' -r -f -a "none\t'There is none'
xonxoff\t'By the bytes XON and XOFF, which then are no data'
rtscts\t'By the lines RTS and CTS'"
complete -c wsbridge -l lock-time -d 'Who writes loses the lock after this silence' -r
complete -c wsbridge -l start -d 'When what is shared is opened' -r -f -a "first\t'With the first caller'
now\t'At once'"
complete -c wsbridge -l stop -d 'When what is shared is ended: last, never, or a time after the last caller left' -r
complete -c wsbridge -l pair-time -d 'Wait this long for an answer' -r
complete -c wsbridge -l user -d 'Log in with this user and password (HTTP Basic)' -r
complete -c wsbridge -l uri -d 'Ask for this host and path over ws-c:' -r
complete -c wsbridge -l path -d 'Upgrade this path only; others get 404' -r
complete -c wsbridge -l tls-name -d 'Ask for this name instead of the host, and want a certificate for it' -r
complete -c wsbridge -l env-header -d 'Give programs this header of the request, as WSBRIDGE_HTTP_NAME' -r
complete -c wsbridge -l max-connections -d 'Serve this many callers at a time (4096, or what the limit of open files allows)' -r
complete -c wsbridge -l ping -d 'Send a ping after this much silence; 0 sends none' -r
complete -c wsbridge -l protocol -d 'Offer these subprotocols, or as a server choose among them; best first' -r
complete -c wsbridge -l queue -d 'Messages that wait for one member at most' -r
complete -c wsbridge -s B -l buffer-size -r
complete -c wsbridge -l ping-timeout -r
complete -c wsbridge -l socks5 -r
complete -c wsbridge -l autoreconnect-delay-millis -r
complete -c wsbridge -l pkcs12-der -r
complete -c wsbridge -l client-pkcs12-der -r
complete -c wsbridge -l static-file -r
complete -c wsbridge -l max-messages-rev -r
complete -c wsbridge -l preamble -r
complete -c wsbridge -l preamble-reverse -r
complete -c wsbridge -l close-status-code -r
complete -c wsbridge -l close-reason -r
complete -c wsbridge -l prometheus -r
complete -c wsbridge -l udp-multicast -r
complete -c wsbridge -l server-header -r
complete -c wsbridge -l explain -d 'Say in words what would be done, and do nothing'
complete -c wsbridge -l help -d 'Show every option; with -h, one screen'
complete -c wsbridge -s h -d 'Show one screen of help'
complete -c wsbridge -s q -l quiet -d 'Say nothing but errors'
complete -c wsbridge -s v -l verbose -d 'Say more; twice or three times for even more'
complete -c wsbridge -s n -l no-close -d 'Do not close the WebSocket at the end of stdin'
complete -c wsbridge -s u -l unidirectional -d 'Copy from left to right only'
complete -c wsbridge -s U -l unidirectional-reverse -d 'Copy from right to left only'
complete -c wsbridge -s 1 -l one-message -d 'Copy one message in each direction, then end'
complete -c wsbridge -l accept-first -d 'Accept a caller before the target has been reached'
complete -c wsbridge -l dump -d 'Show on stderr what passes: direction, time, bytes, and how it ended'
complete -c wsbridge -l follow -d 'Go where redirects lead, at most 10 times; of a file, read on as it grows'
complete -c wsbridge -s i -l include -d 'Show the head of the answer on stderr'
complete -c wsbridge -s 4 -l ipv4 -d 'Use IPv4 only'
complete -c wsbridge -s 6 -l ipv6 -d 'Use IPv6 only'
complete -c wsbridge -s k -l insecure -d 'Trust any server: whoever stands between can read and change all'
complete -c wsbridge -l insecure-send-credentials -d 'Tell even a server that is not known who we are'
complete -c wsbridge -l reconnect -d 'Connect again whenever the connection is lost'
complete -c wsbridge -l self-signed -d 'Make a certificate for localhost, to try things out; its pin is printed'
complete -c wsbridge -s t -l text -d 'Send lines of text as text messages'
complete -c wsbridge -s b -l binary -d 'Send bytes as they come, as binary messages'
complete -c wsbridge -l base64 -d 'Write binary messages as lines of base64; with -b, read such lines'
complete -c wsbridge -l hex -d 'Write binary messages as lines of hex digits; with -b, read such lines'
complete -c wsbridge -l timestamp -d 'Write the time before each message that is written as a line'
complete -c wsbridge -l jsonrpc -d 'Make JSON-RPC 2.0 requests of lines: a method and its parameters'
complete -c wsbridge -l no-interactive -d 'Read plain lines from a terminal, without a prompt'
complete -c wsbridge -l no-history -d 'Keep no history of what is typed at the prompt'
complete -c wsbridge -l pty -d 'Give each program a terminal of its own'
complete -c wsbridge -s e -l set-environment -d 'Name the caller and its URI in WEBSOCAT_CLIENT and WEBSOCAT_URI too, as websocat does'
complete -c wsbridge -l allow-remote-exec -d 'Let callers from other machines start programs'
complete -c wsbridge -l join -d 'Say who comes and who goes'
complete -c wsbridge -l write -d 'Write what comes to the file, which is made or emptied'
complete -c wsbridge -l append -d 'Write what comes behind the end of the file, which is made where there is none'
complete -c wsbridge -l pair -d 'Give each answer to the caller who asked'
complete -c wsbridge -l once -d 'Serve one caller, then end with its exit status'
complete -c wsbridge -s 0 -l null -d 'End each message with NUL: --framing null'
complete -c wsbridge -s E -l exit-on-eof
complete -c wsbridge -s S -l strict
complete -c wsbridge -l unlink
complete -c wsbridge -l async-stdio
complete -c wsbridge -l no-async-stdio
complete -c wsbridge -l print-ping-rtts
complete -c wsbridge -l no-fixups
complete -c wsbridge -l compress-zlib
complete -c wsbridge -l uncompress-zlib
complete -c wsbridge -l just-generate-key
complete -c wsbridge -l dump-spec
complete -c wsbridge -s V -l version -d 'Print version'
