#!/bin/sh
# A bot for a room: wsbridge ws://localhost:8080 -- examples/bot.sh
# What is said there it reads; what it prints it says.
heard=0
while IFS= read -r line; do
  heard=$((heard + 1))
  case $line in
    *'!time') date '+bot: it is %H:%M' ;;
    *'!count') echo "bot: I have heard $heard lines" ;;
    *'!help') echo 'bot: I know !time, !count and !help, and nothing else' ;;
  esac
done
