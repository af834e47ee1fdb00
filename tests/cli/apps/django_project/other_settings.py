from settings import *  # noqa: F403

TK_ANALYTICS = {"NO_SUCH_SETTING": True}
