<#
.SYNOPSIS
    Transcribes an audio file with a speech server that speaks OpenAI's API.
.DESCRIPTION
    For Windows PowerShell 5.1 and PowerShell 7. Prints the server's answer as it came.
    At an error prints the server's message and exits with 1.
    Reads OPENAI_API_KEY and OPENAI_BASE_URL (default http://127.0.0.1:8000/v1) from the environment.
.EXAMPLE
    .\Invoke-Whisper-Audio-Transcription.ps1 "C:\temp\alloy.wav"
.EXAMPLE
    .\Invoke-Whisper-Audio-Transcription.ps1 "C:\temp\alloy.wav" -ResponseFormat srt -Language en
#>
param(
    [Parameter(Mandatory = $true, Position = 0)]
    [string] $Path,

    [string] $Model = 'whisper-1',

    [string] $ResponseFormat = 'json',

    [string] $Language = '',

    [string] $Prompt = ''
)

$ErrorActionPreference = 'Stop'

# What the server says in an error answer, or the answer itself where it is none of the server's.
function Get-ServerMessage([string] $Answer) {
    $message = $null
    try {
        $message = (ConvertFrom-Json -InputObject $Answer).error.message
    }
    catch {
        $message = $null
    }
    if ($message) { return $message }
    return $Answer
}

Add-Type -AssemblyName System.Net.Http
if ($PSVersionTable.PSVersion.Major -lt 6) {
    # Windows PowerShell may offer TLS 1.0 only.
    $protocols = [Net.ServicePointManager]::SecurityProtocol -bor [Net.SecurityProtocolType]::Tls12
    [Net.ServicePointManager]::SecurityProtocol = $protocols
}
if ([Console]::IsOutputRedirected) {
    # A file or another program gets UTF-8; a window shows Unicode anyway.
    [Console]::OutputEncoding = New-Object -TypeName System.Text.UTF8Encoding -ArgumentList $false
}

$baseUrl = $env:OPENAI_BASE_URL
if (-not $baseUrl) { $baseUrl = 'http://127.0.0.1:8000/v1' }
$url = $baseUrl.TrimEnd('/') + '/audio/transcriptions'

# .NET has a current directory of its own, so it gets the full path.
$fullPath = (Resolve-Path -LiteralPath $Path).ProviderPath
$file = [System.IO.File]::OpenRead($fullPath)

$fields = @{ model = $Model; response_format = $ResponseFormat; language = $Language; prompt = $Prompt }
$status = 0
$answer = ''
$form = New-Object -TypeName System.Net.Http.MultipartFormDataContent
$client = New-Object -TypeName System.Net.Http.HttpClient
try {
    foreach ($name in $fields.Keys) {
        if ($fields[$name]) {
            $text = New-Object -TypeName System.Net.Http.StringContent -ArgumentList $fields[$name]
            $form.Add($text, $name)
        }
    }
    $audio = New-Object -TypeName System.Net.Http.StreamContent -ArgumentList $file
    $form.Add($audio, 'file', [System.IO.Path]::GetFileName($fullPath))

    $client.Timeout = [TimeSpan]::FromHours(2)
    if ($env:OPENAI_API_KEY) {
        $client.DefaultRequestHeaders.Add('Authorization', 'Bearer ' + $env:OPENAI_API_KEY)
    }
    $response = $client.PostAsync($url, $form).GetAwaiter().GetResult()
    $status = [int] $response.StatusCode
    # Bytes, because Windows PowerShell reads text without a charset as ISO-8859-1.
    $bytes = $response.Content.ReadAsByteArrayAsync().GetAwaiter().GetResult()
    $answer = [System.Text.Encoding]::UTF8.GetString($bytes)
}
catch {
    $answer = $_.Exception.GetBaseException().Message
}
finally {
    $client.Dispose()
    $form.Dispose()
    $file.Dispose()
}

if ($status -lt 200 -or $status -gt 299) {
    if ($status) { $problem = 'HTTP ' + $status + ': ' + (Get-ServerMessage $answer) }
    else { $problem = 'No answer from ' + $url + ': ' + $answer }
    [Console]::Error.WriteLine($problem)
    exit 1
}
$answer.TrimEnd()
