#!/bin/sh
# Transcribes one audio file in every response format, with nothing but curl.
#
#   OPENAI_API_KEY=... OPENAI_BASE_URL=http://127.0.0.1:8000/v1 test_audio_transcription.sh FILE
#
# Exits with 1 and the server's answer on stderr at the first HTTP error, with curl's own status
# where there is no answer at all.
set -eu

if [ $# -ne 1 ]; then
    echo "usage: $0 FILE" >&2
    exit 2
fi

base_url=${OPENAI_BASE_URL:-http://127.0.0.1:8000/v1}
url=${base_url%/}/audio/transcriptions
quoted_file=$(printf '%s' "$1" | sed 's/[\\"]/\\&/g') # curl wants ; and , in names quoted
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

transcribe() { # FORMAT
    status=$(curl --silent --show-error --output "$answer" --write-out '%{http_code}' \
        --header "Authorization: Bearer ${OPENAI_API_KEY:-none}" \
        --form model=whisper-1 \
        --form "response_format=$1" \
        --form "file=@\"$quoted_file\"" \
        "$url")
    if [ "$status" != 200 ]; then
        echo "HTTP $status from $url:" >&2
        cat "$answer" >&2
        exit 1
    fi
}

for format in json text srt verbose_json vtt; do
    transcribe "$format"
    echo "--- $format"
    cat "$answer"
    echo
done
