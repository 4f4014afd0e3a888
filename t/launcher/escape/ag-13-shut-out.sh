# title: shut the agent out of the workspace by its mode, then let it collect a link
# wall: workspace
# gvisor: workspace
# artifacts: ** *
. ./attack.sh
mkdir closed && echo x > closed/file && ln -s /etc/passwd closed/passwd && ln -s /etc/passwd open
chmod 000 closed
chmod 000 /workspace /tmp /run/sandbox 2>/dev/null
held "everything is shut"
