"""AssemblyAI: its notifications, its transcripts' durations, and helpers for its clients.

https://www.assemblyai.com/docs/deployment/webhooks-for-pre-recorded-audio
"""
