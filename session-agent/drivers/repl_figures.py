"""A backend of matplotlib: show() makes each open figure a display and closes it."""
from matplotlib._pylab_helpers import Gcf
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

FigureCanvas = FigureCanvasAgg
FigureManager = FigureManagerBase


def new_figure_manager_given_figure(num, figure):
    return FigureManagerBase(FigureCanvasAgg(figure), num)


def new_figure_manager(num, *args, FigureClass=None, **kwargs):
    from matplotlib.figure import Figure

    return new_figure_manager_given_figure(num, (FigureClass or Figure)(*args, **kwargs))


def draw_if_interactive():
    pass


def show(*args, **kwargs):
    import builtins

    for manager in Gcf.get_all_fig_managers():
        figure = manager.canvas.figure
        if figure.axes or figure.lines:
            builtins.display(figure)
    Gcf.destroy_all()
